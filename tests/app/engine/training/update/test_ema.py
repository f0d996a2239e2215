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


def test_ema_takes_norm_statistics_from_the_model():
    model = nn.BatchNorm2d(2)
    ema = Ema(model, decay=0.9)
    model(torch.randn(4, 2, 3, 3))
    ema.update(model)
    assert torch.equal(ema.model.running_mean, model.running_mean)
