"""Panoptic segmentation: each pixel gets an instance, or else its semantic class.

H, W: height, width of the original image
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from app.engine.config import CfgNode
from app.engine.structures.detections import Detections


@dataclass(frozen=True, slots=True)
class PanopticMerge:
    """Merges instances and semantic classes into segments.

    overlap_thresh   drop an instance if better ones cover more than this share of it
    stuff_min_area   a stuff class with fewer pixels than this stays unlabelled
    instance_thresh  lowest score of an instance
    """

    overlap_thresh: float = 0.5
    stuff_min_area: int = 4096
    instance_thresh: float = 0.5

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """The rules of `MODEL.PANOPTIC_FPN.COMBINE`."""
        combine = cfg.MODEL.PANOPTIC_FPN.COMBINE
        return cls(
            overlap_thresh=combine.OVERLAP_THRESH,
            stuff_min_area=combine.STUFF_AREA_LIMIT,
            instance_thresh=combine.INSTANCES_CONFIDENCE_THRESH,
        )

    def __call__(
        self, instances: Detections, semantic: Tensor
    ) -> tuple[Tensor, list[dict[str, Any]]]:
        """Merge instances with masks (R, H, W) and semantic classes (H, W).

        Returns segment ids (H, W) int32, 0 for unlabelled, and a description of each segment:
        `id`, `isthing`, `category_id`, and for things `score` and `instance_id`, for stuff
        `area`. Semantic class 0 stands for all things.
        """
        segments = torch.zeros_like(semantic, dtype=torch.int32)
        described = self._paint_things(segments, instances)
        return segments, described + self._paint_stuff(segments, semantic, len(described))

    def _paint_things(self, segments: Tensor, instances: Detections) -> list[dict[str, Any]]:
        assert instances.masks is not None
        scores, classes = instances.scores.tolist(), instances.classes.tolist()
        # A single sum over two dimensions would take fifteen times as long on a CPU.
        counts = [torch.count_nonzero(mask) for mask in instances.masks]
        areas = torch.stack(counts).tolist() if counts else []
        order = torch.argsort(instances.scores, descending=True, stable=True).tolist()
        order = [i for i in order if scores[i] >= self.instance_thresh and areas[i]]
        if not order:
            return []
        stays = []
        for rank, i in enumerate(order, start=1):  # without synchronising with the device
            free = instances.masks[i] & (segments == 0)
            stays.append(torch.count_nonzero(free) >= areas[i] - self._most_taken(areas[i]))
            segments.masked_fill_(free & stays[-1], rank)
        stay = torch.stack(stays)
        numbers = F.pad(stay.cumsum(0, dtype=torch.int32), (1, 0))
        segments.copy_(numbers[segments.long()])
        kept = [i for i, is_kept in zip(order, stay.tolist(), strict=True) if is_kept]
        return [
            {
                "id": number,
                "isthing": True,
                "score": scores[i],
                "category_id": classes[i],
                "instance_id": i,
            }
            for number, i in enumerate(kept, start=1)
        ]

    def _most_taken(self, area: int) -> int:
        """The number of pixels of an instance that other instances may cover."""
        most = int(self.overlap_thresh * area)
        return most + 1 if (most + 1) / area <= self.overlap_thresh else most

    def _paint_stuff(
        self, segments: Tensor, semantic: Tensor, num_things: int
    ) -> list[dict[str, Any]]:
        described: list[dict[str, Any]] = []
        free = segments == 0
        areas = torch.bincount(semantic[free])
        for label, area in enumerate(areas.tolist()):
            if label == 0 or area == 0 or area < self.stuff_min_area:
                continue
            number = num_things + len(described) + 1
            segments[free & (semantic == label)] = number
            described.append({"id": number, "isthing": False, "category_id": label, "area": area})
        return described
