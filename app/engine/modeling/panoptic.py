"""One label for every pixel: instances where there are any, else what the semantic head says.

H, W: height, width of the original image
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from app.engine.config import CfgNode
from app.engine.structures.detections import Detections


@dataclass(frozen=True, slots=True)
class PanopticMerge:
    """How instances and stuff share the pixels.

    overlap_thresh   an instance goes when more than this share of it is taken already
    stuff_min_area   stuff covers at least this many pixels, else it stays unlabelled
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
        """Instances with masks (R, H, W), best first, and semantic classes (H, W).

        Gives segment ids (H, W) int32, 0 unlabelled, and what each segment is: `id`, `isthing`,
        `category_id`, and `score`, `instance_id` of things or `area` of stuff. Semantic class 0
        stands for all things.
        """
        segments = torch.zeros_like(semantic, dtype=torch.int32)
        described = self._paint_things(segments, instances)
        return segments, described + self._paint_stuff(segments, semantic, len(described))

    def _paint_things(self, segments: Tensor, instances: Detections) -> list[dict[str, Any]]:
        assert instances.masks is not None
        described: list[dict[str, Any]] = []
        scores, classes = instances.scores.tolist(), instances.classes.tolist()
        for i in torch.argsort(instances.scores, descending=True, stable=True).tolist():
            if scores[i] < self.instance_thresh:
                break
            mask = instances.masks[i].bool()
            free = mask & (segments == 0)
            area, free_area = int(mask.sum()), int(free.sum())
            if area == 0 or (area - free_area) / area > self.overlap_thresh:
                continue
            segments[free] = len(described) + 1
            described.append(
                {
                    "id": len(described) + 1,
                    "isthing": True,
                    "score": scores[i],
                    "category_id": classes[i],
                    "instance_id": i,
                }
            )
        return described

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
