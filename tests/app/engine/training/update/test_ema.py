"""The moving average of the weights."""

import pytest
import torch
from torch import nn

from app.engine.checkpoint.store import is_plain
from app.engine.training.update.ema import Ema


def test_ema_follows_with_a_decay_that_rises():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    ema = Ema(model, decay=0.999)
    ema.update(model)
    nn.init.constant_(model.weight, 2.0)
    ema.update(model)  # decay (1 + 2) / (10 + 2)
    assert float(ema.model.weight.detach()) == pytest.approx(0.25 * 1 + 0.75 * 2)
    nn.init.constant_(model.weight, 5.0)
    copy = Ema(nn.Linear(1, 1, bias=False), decay=0.999)
    copy.load_state_dict(ema.state_dict())
    copy.update(model)
    ema.update(model)
    assert torch.equal(copy.model.weight, ema.model.weight)
    assert is_plain(ema.state_dict())


@pytest.mark.parametrize("decay", [0.999, 0.1])
def test_the_first_update_takes_the_weights_as_they_are(decay):
    """The random start is in no average, also of a run that starts anew from other weights."""
    model = nn.Linear(1, 1, bias=False)
    ema = Ema(model, decay=decay)
    for start in (5.0, -3.0):
        nn.init.constant_(model.weight, start)
        ema.update(model)
        assert float(ema.model.weight.detach()) == start
        nn.init.constant_(model.weight, start + 8)
        ema.update(model)
        share = max(1 - decay, 0.75)  # of the second update: 1 - (1 + 2) / (10 + 2)
        assert float(ema.model.weight.detach()) == pytest.approx(start + 8 * share)
        ema.restart(model)


def test_ema_takes_norm_statistics_from_the_model():
    model = nn.BatchNorm2d(2)
    ema = Ema(model, decay=0.9)
    model(torch.randn(4, 2, 3, 3))
    ema.update(model)
    assert torch.equal(ema.model.running_mean, model.running_mean)
