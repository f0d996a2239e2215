"""A model with the detections that a test gives it, and one that takes them from pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from app.engine.structures.detections import Detections


@dataclass
class ScriptedModel:
    """Answers `detect` and `dense_class_probs` from lists, in the order asked."""

    num_classes: int
    detections: list[Detections]
    maps: list[list[Tensor]]

    def detect(self, images: Sequence[Tensor]) -> list[Detections]:
        answer, self.detections = self.detections[: len(images)], self.detections[len(images) :]
        return answer

    def dense_class_probs(self, images: Sequence[Tensor]) -> list[list[Tensor]]:
        return self.maps[: len(images)]


@pytest.fixture
def scripted() -> Callable[..., ScriptedModel]:
    def make(
        num_classes: int,
        detections: Sequence[Detections] = (),
        maps: Sequence[list[Tensor]] = (),
    ) -> ScriptedModel:
        return ScriptedModel(num_classes, list(detections), list(maps))

    return make


@pytest.fixture
def found() -> Callable[..., Detections]:
    """Detections from class vectors, side by side unless boxes are given."""

    def make(
        probs: Sequence[Sequence[float]],
        boxes: Sequence[Sequence[float]] | None = None,
        *,
        background: bool = False,
    ) -> Detections:
        if not len(probs):
            return Detections.empty((32, 32))
        class_probs = torch.tensor(probs)
        foreground = class_probs[:, :-1] if background else class_probs
        scores, classes = foreground.max(dim=1)
        if boxes is None:
            boxes = [(10 * i, 0, 10 * i + 8, 8) for i in range(len(probs))]
        return Detections(
            (32, 32), torch.tensor(boxes).float(), scores, classes, class_probs=class_probs
        )

    return make
