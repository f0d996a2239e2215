"""Evaluations that fail, or miss images, are reported and give no number for the rest."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from app.engine.data.loading.damaged import DamagedImages, report_met
from app.engine.data.loading.loader import CLIPPED, LOST, UNREADABLE
from app.engine.errors import DatasetError, OutOfMemoryError
from app.engine.training.update.step import Stepper
from verification.reliability.memory import little_memory

SHORT = ("SOLVER.MAX_ITER", "4", "TEST.EVAL_PERIOD", "2")


def damage(path: Path) -> None:
    """A PNG whose header is whole and whose pixels are not."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(data)


def out_of_memory(monkeypatch, tiny, method: str, *, above: int) -> None:
    """What the model does without gradients lacks memory for more than so many images."""
    original = getattr(tiny.TinyDetector, method)

    def refuse(self, samples):
        if not torch.is_grad_enabled() and len(samples) > above:
            raise MemoryError
        return original(self, samples)

    monkeypatch.setattr(tiny.TinyDetector, method, refuse)


@pytest.mark.parametrize("method", ["detect", "losses"])
def test_a_batch_that_does_not_fit_is_halved(tiny, tmp_path, monkeypatch, caplog, method):
    expected = tiny.tiny_train(tmp_path / "whole", tiny.tiny_config(*SHORT)).last.metrics
    out_of_memory(monkeypatch, tiny, method, above=1)
    summary = tiny.tiny_train(tmp_path / "halves", tiny.tiny_config(*SHORT))
    assert "halving" in caplog.text
    assert summary.failure is None
    assert summary.last.metrics.keys() == expected.keys()
    assert summary.last.metrics["bbox/AP50"] == pytest.approx(expected["bbox/AP50"], nan_ok=True)


@pytest.mark.parametrize("method", ["detect", "losses"])
def test_want_of_memory_in_an_evaluation_costs_only_that(
    tiny, tmp_path, monkeypatch, caplog, method
):
    out_of_memory(monkeypatch, tiny, method, above=0)
    # The last look at the outputs is no evaluation.
    monkeypatch.setattr("app.engine.training.loop.hooks.losses_are_finite", lambda *_, **__: True)
    summary = tiny.tiny_train(tmp_path / "run", tiny.tiny_config(*SHORT))
    assert summary.iteration == 4
    assert summary.last.weights.exists()
    assert ("bbox/AP50" in summary.last.metrics) == (method == "losses")
    assert "failed (MemoryError); training goes on" in caplog.text
    assert "Traceback" not in caplog.text
    with pytest.raises(OutOfMemoryError, match=r"trained and kept, .* lower INPUT.MIN_SIZE_TEST"):
        summary.require_evaluation()


def test_the_evaluation_is_made_up_for_where_there_is_memory(tiny, tmp_path, monkeypatch):
    with monkeypatch.context() as short:
        out_of_memory(short, tiny, "detect", above=0)
        first = tiny.tiny_train(tmp_path / "run", tiny.tiny_config(*SHORT))
    assert first.best is None
    second = tiny.tiny_train(tmp_path / "run", tiny.tiny_config(*SHORT))
    second.require_evaluation()
    assert "bbox/AP50" in second.best.metrics


def test_a_fault_in_an_evaluation_is_no_want_of_memory(tiny, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tiny.TinyDetector, "detect", lambda self, samples: samples[99])
    summary = tiny.tiny_train(tmp_path / "run", tiny.tiny_config(*SHORT))
    summary.require_evaluation()
    assert summary.failure.reason.startswith("IndexError")
    assert "Traceback" in caplog.text


def test_memory_that_the_system_refuses_halves_the_batch():
    """One iteration needs 500 MB for the images at once, 130 MB for one."""
    model = nn.Conv2d(1, 32, 3, padding=1)
    model.bias.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    class Network(nn.Module):
        def forward(self, samples: list[int]) -> dict[str, torch.Tensor]:
            images = torch.zeros(len(samples), 1, 1024, 1024)
            return {"loss": model(images).mean()}

    stepper = Stepper(Network(), optimizer, device=torch.device("cpu"))
    stepper([1])  # the libraries' own memory
    with little_memory(400):
        losses = stepper([1, 2, 3, 4])
    assert math.isfinite(float(losses["loss"]))
    assert stepper.accumulate in (2, 4)
    with little_memory(20), pytest.raises(OutOfMemoryError, match=r"1 images at once .*IMS_PER_B"):
        stepper([1, 2])


@pytest.mark.parametrize(
    ("num_images", "met", "stops"),
    [
        pytest.param(1, ["a"], False, id="one of one: nothing is left, which is another error"),
        pytest.param(14, ["a"] * 9, False, id="one, in every epoch"),
        pytest.param(14, ["a", "b"], True, id="two of fourteen"),
        pytest.param(40, ["a", "b", "a", "b"], False, id="5 %"),
        pytest.param(40, ["a", "b", "a", "c"], True, id="more than 5 %"),
    ],
)
def test_how_many_training_images_may_be_damaged(num_images, met, stops):
    damaged = DamagedImages(num_images)
    kept = []

    def meet() -> None:
        kept.extend(damaged.add("unreadable image", name) for name in met)

    if stops:
        with pytest.raises(DatasetError, match=rf"{len(set(met))} of {num_images} images, more"):
            meet()
    else:
        meet()
        assert sum(kept) == len(set(met)) == len(damaged.met()["unreadable image"])


@pytest.mark.parametrize("kind", [LOST, CLIPPED])
def test_other_problems_of_training_images_are_only_counted(kind):
    damaged = DamagedImages(2)
    for example in "abcabc":
        damaged.add(kind, example)
    assert damaged.counts == {kind: 3}
    assert damaged.met(UNREADABLE, kind) == {UNREADABLE: [], kind: ["a", "b", "c"]}


def test_what_all_processes_have_met_is_told_once(caplog):
    report_met("training", [{LOST: ["a", "b"], CLIPPED: []}, {LOST: ["b", "c"]}], 9)
    (line,) = caplog.messages
    assert line.startswith("training set: 3 of 9 images were not given by their storage at times")
    assert line.endswith("for example a; b; c")


def test_clipped_images_are_told_at_the_end_also_after_a_restart(tiny, tmp_path, caplog):
    training = tiny.tiny_records(tmp_path / "images", 8)
    validation = tiny.tiny_records(tmp_path / "images", 4, seed=1)
    for record in (training[1], validation[0], validation[3]):
        pixels = np.full(record.size, 100, np.uint16)
        pixels[0, 0] = 5000
        Image.fromarray(pixels).save(record.path)
    for max_iter in ("6", "7"):  # several epochs, and an evaluation in each run
        caplog.clear()
        cfg = tiny.tiny_config("SOLVER.MAX_ITER", max_iter, "INPUT.BITS_PER_SAMPLE", "12")
        tiny.tiny_train(tmp_path / "run", cfg)
        beyond = "have values beyond white or black, which were clipped, for example"
        assert caplog.text.count(f"training set: 1 of 8 images {beyond}") == 1
        assert caplog.text.count(f"validation set: 2 of 4 images {beyond}") == 1


def test_damaged_images_are_told_at_the_end_also_after_a_restart(
    tiny, tmp_path, monkeypatch, caplog
):
    records = tiny.tiny_records(tmp_path / "images", 8)
    damage(records[3].path)
    for max_iter in ("6", "7"):
        caplog.clear()
        cfg = tiny.tiny_config("SOLVER.MAX_ITER", max_iter)
        tiny.tiny_train(tmp_path / "run", cfg, val_records=[])
        assert "1 of 8 images could not be read and others were taken" in caplog.messages[-1]
        assert str(records[3].path) in caplog.messages[-1]


def test_too_many_damaged_images_end_the_training(tiny, tmp_path):
    records = tiny.tiny_records(tmp_path / "images", 8)
    for record in records[:4]:
        damage(record.path)
    with pytest.raises(DatasetError, match=r"2 of 8 images, more than 5 %.*images/0_\d.png"):
        tiny.tiny_train(tmp_path / "run", tiny.tiny_config(), val_records=[])


def test_the_share_of_the_validation_images_is_told(tiny, tmp_path, caplog):
    records = tiny.tiny_records(tmp_path / "validation", 4, seed=1)
    damage(records[1].path)
    summary = tiny.tiny_train(tmp_path / "run", tiny.tiny_config(*SHORT), val_records=records)
    assert summary.num_validated == 3
    expected = (
        "1 images could not be evaluated: the metrics are over 3 of 4 images, and "
        f"{len(records[1])} objects of the others are left out"
    )
    assert caplog.messages.count(expected) == 2  # beside each AP
    whole = tiny.tiny_train(
        tmp_path / "without", tiny.tiny_config(*SHORT), val_records=[records[0], *records[2:]]
    )
    assert summary.last.metrics["bbox/AP50"] == whole.last.metrics["bbox/AP50"]


def test_no_validation_image_can_be_read(tiny, tmp_path, caplog):
    records = tiny.tiny_records(tmp_path / "validation", 2, seed=1)
    for record in records:
        damage(record.path)
    summary = tiny.tiny_train(tmp_path / "run", tiny.tiny_config(*SHORT), val_records=records)
    assert summary.best is None
    assert summary.last.metrics == {}
    assert summary.num_validated == 0
    assert re.match(
        r"none of the 2 images to evaluate on can be read, .*1_0", summary.failure.reason
    )
    assert "Traceback" not in caplog.text


def test_a_metric_without_value_is_told_once(tiny, tmp_path, caplog):
    records = tiny.tiny_records(tmp_path / "validation", 2, seed=1)
    empty = [
        r.__class__(r.path, r.height, r.width, r.boxes[:0], r.classes[:0], r.image_id)
        for r in records
    ]
    cfg = tiny.tiny_config("SOLVER.MAX_ITER", "4", "TEST.EVAL_PERIOD", "1")
    assert tiny.tiny_train(tmp_path / "run", cfg, val_records=empty).best is None
    told = [text for text in caplog.messages if "TEST.METRIC" in text]
    assert len(told) == 1
    assert "bbox/AP50 has no value (the validation images have no objects" in told[0]
