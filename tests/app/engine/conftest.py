"""A detector whose detections follow from the pixels, and pictures for it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from app.engine.config import CfgNode, get_config
from app.engine.modeling.detector import Detector
from app.engine.structures.detections import Detections
from app.engine.structures.sample import Sample


class PaintedDetector(Detector):
    """Class k is wherever channel k is not black, and as probable as the channel is bright.

    batches    sizes of the network inputs of every batch seen
    max_batch  a larger batch is too much for its imaginary GPU
    """

    num_classes = 3

    def __init__(self, max_batch: int = 1000) -> None:
        super().__init__(pixel_mean=[0.0] * 3, pixel_std=[255.0] * 3, size_divisibility=32)
        self.max_batch = max_batch
        self.batches: list[list[tuple[int, int]]] = []

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "PaintedDetector":
        return cls()

    def losses(self, samples: list[Sample]) -> dict[str, Tensor]:
        return {}

    def detect(self, samples: list[Sample]) -> list[Detections]:
        images = self._look(samples)
        return [
            self._detect_one(image[:, : s.size[0], : s.size[1]], s)
            for image, s in zip(images, samples, strict=True)
        ]

    def dense_class_probs(self, samples: list[Sample]) -> list[Tensor]:
        images = self._look(samples)
        return [F.avg_pool2d(images, 2), F.avg_pool2d(images, 4)]

    def _look(self, samples: list[Sample]) -> Tensor:
        assert not torch.is_grad_enabled()
        self.batches.append([sample.size for sample in samples])
        if len(samples) > self.max_batch:
            raise torch.OutOfMemoryError("imaginary GPU is full")
        return self.preprocess(samples).tensor

    def _detect_one(self, image: Tensor, sample: Sample) -> Detections:
        scale_y = sample.original_size[0] / sample.size[0]
        scale_x = sample.original_size[1] / sample.size[1]
        boxes, classes, probs = [], [], []
        for k, channel in enumerate(image):
            y, x = (channel > 0.02).nonzero(as_tuple=True)
            if len(y):
                box = [x.min() * scale_x, y.min() * scale_y]
                boxes.append([*box, (x.max() + 1) * scale_x, (y.max() + 1) * scale_y])
                classes.append(k)
                probs.append(image[:, y, x].mean(dim=1))
        if not boxes:
            return Detections.empty(sample.original_size)
        class_probs = torch.stack(probs)
        scores = class_probs[torch.arange(len(boxes)), classes]
        found = Detections(
            sample.original_size,
            torch.tensor(boxes),
            scores,
            torch.tensor(classes),
            class_probs=class_probs if self.keep_class_probs else None,
        )
        return found.select(scores.argsort(descending=True))


@pytest.fixture
def painted_detector() -> type[PaintedDetector]:
    return PaintedDetector


@pytest.fixture
def small_cfg() -> CfgNode:
    """Images are shown with a short side of 64 pixels and a long one of at most 128."""
    cfg = get_config()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.RETINANET.NUM_CLASSES = "RetinaNet", 3
    cfg.INPUT.FORMAT = "RGB"
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 64, 128
    return cfg


@pytest.fixture
def paint(tmp_path: Path) -> Callable[..., Path]:
    """Saves a black PNG with coloured rectangles `(x0, y0, x1, y1, (r, g, b))`."""

    def save(name: str, size: tuple[int, int], *rectangles: Sequence[object]) -> Path:
        pixels = np.zeros((*size, 3), dtype=np.uint8)
        for x0, y0, x1, y1, colour in rectangles:
            pixels[y0:y1, x0:x1] = colour
        path = tmp_path / name
        Image.fromarray(pixels).save(path)
        return path

    return save
