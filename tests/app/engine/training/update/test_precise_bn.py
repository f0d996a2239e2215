"""Batch-norm statistics over many batches."""

import torch
from torch import nn

from app.engine.training.update.precise_bn import has_batch_norm, update_statistics


def test_precise_statistics_are_those_of_all_batches():
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3)).train()
    batches = [torch.randn(4, 3, 5, 5) * 2 + 1 for _ in range(6)]
    update_statistics(model, batches, num_batches=6, device=torch.device("cpu"))
    everything = torch.cat(batches)
    assert torch.allclose(model[0].running_mean, everything.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(model[0].running_var, everything.var((0, 2, 3)), rtol=0.02)
    assert model[0].momentum == 0.1


def test_frozen_norms_are_left_alone():
    assert not has_batch_norm(nn.Sequential(nn.BatchNorm2d(3)).eval())
    assert has_batch_norm(nn.Sequential(nn.BatchNorm2d(3)))
