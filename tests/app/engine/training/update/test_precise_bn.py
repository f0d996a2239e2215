"""Batch-norm statistics over many batches."""

import pytest
import torch
from torch import nn

from app.engine.training.update.precise_bn import measure_norms, update_statistics


def test_precise_statistics_are_those_of_all_batches():
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3)).train()
    batches = [torch.randn(4, 3, 5, 5) * 2 + 1 for _ in range(6)]
    update_statistics(model, batches, num_batches=6, device=torch.device("cpu"))
    everything = torch.cat(batches)
    assert torch.allclose(model[0].running_mean, everything.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(model[0].running_var, everything.var((0, 2, 3)), rtol=0.02)
    assert model[0].momentum == 0.1


class Model(nn.Sequential):
    """Norms, and a loss normaliser that measuring must leave alone."""

    device = torch.device("cpu")
    normalizer = 1.0

    def forward(self, x):
        """Each batch moves the normaliser."""
        self.normalizer += 1
        return super().forward(x)

    def training_state(self):
        """The normaliser."""
        return self.normalizer

    def load_training_state(self, state):
        """Take it up."""
        self.normalizer = state


def test_only_the_statistics_change():
    model, batch = Model(nn.BatchNorm2d(3)), torch.randn(4, 3, 5, 5)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    measure_norms(
        model, lambda: (torch.rand(1) + batch for _ in range(9)), num_batches=2, dtype=None
    )
    assert model.normalizer == 1.0
    assert model[0].running_mean.abs().sum() > 0
    assert torch.equal(torch.rand(3), expected)


def test_a_model_without_trained_norms_needs_no_batches(caplog):
    caplog.set_level("INFO")
    model = Model(nn.BatchNorm2d(3, track_running_stats=False))
    measure_norms(model, lambda: pytest.fail("no batch is needed"), num_batches=2, dtype=None)
    assert "PreciseBN is disabled" in caplog.text
