from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from app.engine.layers.norm import NaiveSyncBatchNorm, SyncBatchNorm

DATA = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 3 + 1


KINDS = [lambda: SyncBatchNorm(3), lambda: NaiveSyncBatchNorm(3, by_batch_size=True)]


def _run(rank: int, rendezvous: str, results: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    torch.save(
        [_step(kind(), DATA[:4] if rank == 0 else DATA[4:]) for kind in KINDS], f"{results}.{rank}"
    )
    dist.destroy_process_group()


def _step(norm: nn.Module, data: torch.Tensor) -> list[torch.Tensor]:
    x = data.clone().requires_grad_()
    y = norm.train()(x)
    (y * torch.arange(4.0)).square().sum().backward()
    return [y.detach(), x.grad, norm.running_mean, norm.running_var]


@pytest.mark.slow
def test_two_processes_equal_one_with_all_data(tmp_path: Path):
    results = str(tmp_path / "out")
    mp.spawn(_run, args=(str(tmp_path / "meet"), results), nprocs=2)
    parts = [torch.load(f"{results}.{rank}", weights_only=True) for rank in range(2)]
    y, gradient, mean, variance = _step(nn.BatchNorm2d(3), DATA)
    for first, second in zip(*parts, strict=True):
        torch.testing.assert_close(torch.cat([first[0], second[0]]), y)
        torch.testing.assert_close(torch.cat([first[1], second[1]]), gradient, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(first[2], mean)
        # torch counts one element fewer in the running variance.
        torch.testing.assert_close(second[3], variance, rtol=2e-2, atol=2e-2)
