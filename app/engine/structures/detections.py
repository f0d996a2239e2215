"""The objects that a model finds in one image."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor

from app.engine.structures.boxes import Size
from app.engine.structures.moves import move, move_all


@dataclass(frozen=True, slots=True)
class Detections:
    """R objects found in one image, best score first.

    image_size  (height, width) of the image the coordinates refer to
    boxes       (R, 4) float32, x0 y0 x1 y1 in pixels of that image
    scores      (R,) float32 in [0, 1] (a proposal network gives objectness logits)
    classes     (R,) int64 in [0, K), K foreground classes
    class_probs (R, K) or (R, K + 1 with background last) float32: the full class vector of each
                object; None unless `Detector.keep_class_probs` is set
    masks       (R, H, W) bool in the image, or (R, 1, S, S) float probabilities before pasting
    keypoints   (R, num_keypoints, 3) float32: x, y, score
    semantic    (C, H, W) float32 logits of the semantic head, whole image
    panoptic    (H, W) int32 segment ids and one dict for each segment, or None
    """

    image_size: Size
    boxes: Tensor
    scores: Tensor
    classes: Tensor
    class_probs: Tensor | None = None
    masks: Tensor | None = None
    keypoints: Tensor | None = None
    semantic: Tensor | None = None
    panoptic: tuple[Tensor, list[dict[str, Any]]] | None = field(default=None)

    @classmethod
    def empty(cls, image_size: Size, device: torch.device | str = "cpu") -> Self:
        """No objects."""
        return cls(
            image_size,
            torch.zeros((0, 4), device=device),
            torch.zeros(0, device=device),
            torch.zeros(0, dtype=torch.int64, device=device),
        )

    def __len__(self) -> int:
        return self.boxes.shape[0]

    def select(self, index: Tensor) -> Self:
        """The objects at `index` ((M,) int64, or (R,) bool); whole-image fields are kept."""
        if index.dtype == torch.bool:  # converted once, not for each field
            index = index.nonzero()[:, 0]

        def pick(value: Tensor | None) -> Tensor | None:
            return None if value is None else value[index]

        return replace(
            self,
            boxes=self.boxes[index],
            scores=self.scores[index],
            classes=self.classes[index],
            class_probs=pick(self.class_probs),
            masks=pick(self.masks),
            keypoints=pick(self.keypoints),
        )

    def to(self, device: torch.device | str) -> Self:
        """The same detections on another device."""
        moved = move_all(self, device)
        if self.panoptic is None:
            return moved
        segments, described = self.panoptic
        return replace(moved, panoptic=(move(segments, device), described))


def to_cpu(found: Sequence[Detections]) -> list[Detections]:
    """Copy the detections of several images to the CPU, with one wait per field, not per image."""
    if all(d.boxes.device.type == "cpu" for d in found):
        return list(found)
    counts = [len(d) for d in found]
    moved: list[dict[str, Any]] = [{} for _ in found]
    for name in ("boxes", "scores", "classes", "class_probs", "keypoints"):
        values = [getattr(d, name) for d in found]
        if values[0] is not None:
            parts = torch.split(torch.cat(values).cpu(), counts)
            for fields_of, part in zip(moved, parts, strict=True):
                fields_of[name] = part
    return [replace(d, **fields_of).to("cpu") for d, fields_of in zip(found, moved, strict=True)]
