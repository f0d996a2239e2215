"""Whole runs on a fake GPU learn what a CPU learns, also when resumed on the other device."""

import math

import pytest
import torch

from verification.launches.fake_gpu import fake_gpu

ON_GPU = {"devices": ["cuda:0"]}
RETINANET = ("MODEL.META_ARCHITECTURE", "RetinaNet", "SOLVER.MAX_ITER", "3", "VIS_PERIOD", "3")


def weights(directory):
    return torch.load(directory / "last/model.pth", weights_only=True)["model"]


def test_a_gpu_learns_what_a_cpu_learns(tiny, tmp_path):
    cfg = tiny.tiny_config(*RETINANET)
    tiny.tiny_train(tmp_path / "cpu", cfg)
    with fake_gpu():
        summary = tiny.tiny_train(tmp_path / "gpu", cfg, **ON_GPU)
    assert "bbox/AP50" in summary.last.metrics
    torch.testing.assert_close(
        weights(tmp_path / "gpu"), weights(tmp_path / "cpu"), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("optimizer", ["SGD", "ADAMW"])
@pytest.mark.parametrize("first", ["cpu", "cuda"])
def test_a_run_goes_on_where_another_kind_of_device_stopped(tiny, tmp_path, first, optimizer):
    cfg = tiny.tiny_config("SOLVER.OPTIMIZER", optimizer, "SOLVER.BASE_LR", "0.001")
    tiny.tiny_train(tmp_path / "whole", cfg)
    begin, go_on = ({}, ON_GPU) if first == "cpu" else (ON_GPU, {})
    polls = iter(range(1, 99))
    with fake_gpu():
        stopped = tiny.tiny_train(
            tmp_path / "parts", cfg, should_stop=lambda: next(polls) >= 3, **begin
        )
        assert stopped.stopped
        assert tiny.tiny_train(tmp_path / "parts", cfg, **go_on).iteration == 10
    parts, whole = weights(tmp_path / "parts"), weights(tmp_path / "whole")
    # Not the bias in front of the batch norm: AdamW makes much of its rounding errors.
    for name in ("cls_score.weight", "side.weight", "body.3.weight"):
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("dtype", "optimizer"), [("bfloat16", "SGD"), ("float16", "ADAMW")])
def test_half_precision_with_bounded_gradients(tiny, tmp_path, dtype, optimizer):
    cfg = tiny.tiny_config(
        *RETINANET,
        *("SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", dtype),
        *("SOLVER.OPTIMIZER", optimizer, "SOLVER.CLIP_GRADIENTS.ENABLED", "True"),
    )
    with fake_gpu():
        summary = tiny.tiny_train(tmp_path / "run", cfg, **ON_GPU)
    assert math.isfinite(summary.last.metrics["validation_loss_cls"])


def test_memory_that_runs_out_halves_the_parts(tiny, tmp_path, monkeypatch, caplog):
    detector = tiny.TinyDetector
    losses = detector.losses

    def limited(self, samples):
        if len(samples) > 1:
            raise torch.OutOfMemoryError("imaginary GPU is full")
        return losses(self, samples)

    monkeypatch.setattr(detector, "losses", limited)
    cfg = tiny.tiny_config("SOLVER.MAX_ITER", "2", "TEST.EVAL_PERIOD", "0")
    with fake_gpu():
        assert tiny.tiny_train(tmp_path / "run", cfg, val_records=[], **ON_GPU).iteration == 2
    assert "2 backward passes for each batch of 2 images" in caplog.text
