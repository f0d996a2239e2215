"""Detection over batches: log lines, lack of memory, missing images; and a whole evaluation."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.engine.config import get_config
from app.engine.evaluation.coco import CocoEvaluator
from app.engine.evaluation.evaluate import evaluate
from app.engine.evaluation.inference import detect, run_inference
from app.engine.modeling.detector import Detector
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord
from app.engine.structures.sample import Sample


class Oracle(Detector):
    """Finds what it was told, `limit` images at once."""

    def __init__(self, answers: dict[int, Detections], limit: int = 99) -> None:
        super().__init__(pixel_mean=[0.0] * 3, pixel_std=[1.0] * 3)
        self.answers = answers
        self.limit = limit
        self.sizes: list[int] = []

    @classmethod
    def from_config(cls, cfg):
        return cls({})

    def losses(self, samples):
        return {}

    def detect(self, samples):
        if len(samples) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.sizes.append(len(samples))
        assert not self.training
        assert not torch.is_grad_enabled()
        return [self.answers[sample.image_id] for sample in samples]

    def dense_class_probs(self, samples):
        return []


def sample(image_id: int) -> Sample:
    return Sample(torch.zeros(3, 8, 8, dtype=torch.uint8), (8, 8), image_id=image_id)


def record(image_id: int, path: Path = Path("a.jpg")) -> ImageRecord:
    boxes = np.array([[1, 1, 6, 6]], np.float32)
    return ImageRecord(path, 8, 8, boxes, np.array([0]), image_id)


def answer() -> Detections:
    return Detections((8, 8), torch.tensor([[1.0, 1, 6, 6]]), torch.ones(1), torch.tensor([0]))


def test_log_lines_are_those_that_scripts_grep(caplog):
    caplog.set_level("INFO")
    model = Oracle({i: answer() for i in range(4)}).train()
    records = {i: record(i) for i in range(4)}
    fractions, seen = [], []
    number = run_inference(
        model,
        [[sample(0), sample(1)], [], [sample(2)]],
        records,
        [],
        num_batches=3,
        progress=fractions.append,
        on_batch=lambda samples, detections: seen.extend(samples),
    )
    assert number == 3
    assert len(seen) == 3
    assert fractions == pytest.approx([1 / 3, 2 / 3, 1])
    assert model.training
    assert "Start inference on 3 batches" in caplog.text
    speed = r"\d:\d\d:\d\d(\.\d+)? \(\d+\.\d{6} s / iter per device, on 1 devices\)"
    assert re.search("Total inference time: " + speed, caplog.text)
    assert re.search("Total inference pure compute time: " + speed, caplog.text)


def test_line_while_running(caplog, monkeypatch):
    monkeypatch.setattr("app.engine.evaluation.inference._LOG_PERIOD_S", 0.0)
    caplog.set_level("INFO")
    model = Oracle({i: answer() for i in range(12)})
    batches = [[sample(i)] for i in range(12)]
    run_inference(model, batches, {i: record(i) for i in range(12)}, [], num_batches=12)
    pattern = (
        r"Inference done 11/12\. Dataloading: \d\.\d{4} s/iter\. Inference: \d\.\d{4} s/iter\. "
        r"Eval: \d\.\d{4} s/iter\. Total: \d\.\d{4} s/iter\. ETA=0:00:00"
    )
    assert re.search(pattern, caplog.text)


@torch.no_grad()
def test_lack_of_memory_halves_the_batch(caplog):
    model = Oracle({i: answer() for i in range(5)}, limit=2)
    assert len(detect(model.eval(), [sample(i) for i in range(5)])) == 5
    assert model.sizes == [2, 1, 2]
    assert "halving" in caplog.text


def test_lack_of_memory_for_one_image_is_not_hidden():
    with torch.no_grad(), pytest.raises(torch.OutOfMemoryError):
        detect(Oracle({}, limit=0).eval(), [sample(0)])


def test_nothing_to_evaluate():
    assert run_inference(Oracle({}), [], {}, [CocoEvaluator([], ["a"])], num_batches=0) == 0


def test_evaluation_from_files(tmp_path, caplog):
    caplog.set_level("INFO")
    records = []
    for index in range(3):
        path = tmp_path / f"{index}.png"
        if index < 2:
            Image.new("RGB", (8, 8)).save(path)
        records.append(record(index, path))
    cfg = get_config()
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "INPUT.MIN_SIZE_TEST", "0"])
    model = Oracle({0: answer(), 1: Detections.empty((8, 8))})
    result = evaluate(model, cfg, records, ["cell"], num_workers=0, score_thresh=0.5)
    assert result.num_images == 2
    assert "1 images could not be evaluated" in caplog.text
    assert (result.tp, result.fp, result.fn) == (1, 0, 1)
    assert result.metrics["bbox/AP50"] == pytest.approx(100 * 51 / 101)
    assert result.metrics["bbox/AR"] == pytest.approx(50)
    cell = result.per_class["cell"]
    assert (cell.num_objects, cell.best_score_thresh, cell.recall) == (2, 1.0, 0.5)
    assert "copypaste: AP,AP50,AP75,APs,APm,APl" in caplog.text
