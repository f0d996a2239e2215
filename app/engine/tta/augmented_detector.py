"""A detector that merges the detections of several views of each image.

R: objects, C: semantic classes; J: keypoints, S: side of masks or heatmaps
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from app.engine.config import CfgNode, class_section, results
from app.engine.layers.nms import batched_nms
from app.engine.modeling.build import build_detector
from app.engine.modeling.detector import Detector, WrappedDetector
from app.engine.modeling.meta_arch.generalized_rcnn import GeneralizedRCNN
from app.engine.modeling.meta_arch.panoptic_fpn import PanopticFPN
from app.engine.modeling.postprocess import to_original
from app.engine.modeling.roi_heads.instance_maps import InstanceMaps
from app.engine.structures import boxes as box_ops
from app.engine.structures.boxes import Size
from app.engine.structures.detections import Detections
from app.engine.structures.sample import Sample
from app.engine.tta.views import View, ViewSpec


@dataclass(frozen=True, slots=True)
class Merge:
    """Merges the detections of all views of an image.

    score_thresh  scores must be larger than this
    nms_thresh    IoU within a class above which the detection with the lower score is removed
    limit         largest number of detections of an image, over all classes; None: no limit
    """

    score_thresh: float
    nms_thresh: float
    limit: int | None

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """Use the thresholds with which the model suppresses overlapping boxes."""
        if "box_proposals" in results(cfg):
            # Scores of proposals are logits of any sign.
            return cls(-torch.inf, cfg.MODEL.RPN.NMS_THRESH, cfg.MODEL.RPN.POST_NMS_TOPK_TEST)
        head = cfg.MODEL[class_section(cfg)]
        limit = cfg.TEST.DETECTIONS_PER_IMAGE
        return cls(1e-8, head.NMS_THRESH_TEST, None if limit < 0 else limit)

    def __call__(self, found: Sequence[Detections], size: Size) -> Detections:
        """Merge the boxes of the views, given in pixels of the image of `size`."""
        probs = [d.class_probs for d in found if d.class_probs is not None]
        united = Detections(
            size,
            box_ops.clip(torch.cat([d.boxes for d in found]), size),
            torch.cat([d.scores for d in found]),
            torch.cat([d.classes for d in found]),
            class_probs=torch.cat(probs) if len(probs) == len(found) else None,
        )
        united = united.select((united.scores > self.score_thresh) & box_ops.nonempty(united.boxes))
        kept = batched_nms(
            united.boxes, united.scores, united.classes, self.nms_thresh, limit=self.limit
        )
        return united.select(kept)


class AugmentedDetector(WrappedDetector):
    """Runs another detector on several views of each image.

    Boxes of all views are joined and suppressed within each class. Masks and keypoint heatmaps
    inside the remaining boxes, and semantic probabilities, are averaged over the views.
    """

    def __init__(self, model: Detector, *, views: ViewSpec, merge: Merge) -> None:
        super().__init__(model)
        self.views = views
        self.merge = merge

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """Build the detector of a config, with random weights."""
        return cls.around(build_detector(cfg), cfg)

    @classmethod
    def around(cls, model: Detector, cfg: CfgNode) -> Self:
        """Wrap `model`, without a copy, to use the views of `TEST.AUG`."""
        return cls(model, views=ViewSpec.from_config(cfg), merge=Merge.from_config(cfg))

    @torch.no_grad()
    def detect(self, samples: list[Sample]) -> list[Detections]:
        """Return merged detections of each image, in pixels of its `original_size`."""
        return [self._detect_in_one(sample, boxes_only=False) for sample in samples]

    @torch.no_grad()
    def detect_boxes(self, samples: list[Sample]) -> list[Detections]:
        """Return detections without masks, keypoints and panoptic segments."""
        return [self._detect_in_one(sample, boxes_only=True) for sample in samples]

    def _detect_in_one(self, sample: Sample, *, boxes_only: bool) -> Detections:
        self.model.keep_class_probs = self.keep_class_probs
        groups = list(self.views(sample))
        found: list[Detections] = []
        probs: Tensor | None = None
        for group in groups:
            for view, of_view in zip(group, self._boxes(group), strict=True):
                upright = view.upright(of_view)
                if upright.semantic is not None:
                    of_one = upright.semantic.softmax(dim=0)
                    probs = of_one if probs is None else probs + of_one
                found.append(replace(upright, semantic=None))
        merged = self.merge(found, sample.original_size)
        if probs is not None:
            merged = replace(merged, semantic=(probs / len(found)).log())
        if boxes_only or not isinstance(self.model, GeneralizedRCNN):
            return merged
        merged = self._with_maps(self.model, groups, merged)
        return self.model.merged(merged) if isinstance(self.model, PanopticFPN) else merged

    def _boxes(self, group: Sequence[View]) -> list[Detections]:
        return self.model.detect_boxes([view.sample for view in group])

    def _with_maps(
        self, model: GeneralizedRCNN, groups: Sequence[Sequence[View]], merged: Detections
    ) -> Detections:
        """Add masks and keypoints, averaged over the views."""
        if not model.has_instance_maps:
            return merged
        merged = merged.to(self.device)
        # Without objects, one view is enough for empty maps of the right shape.
        asked = groups if len(merged) else [groups[0][:1]]
        maps = _mean(
            view.upright_maps(of_view, self.views.keypoint_flip)
            for group in asked
            for view, of_view in zip(
                group,
                model.instance_maps([v.sample for v in group], [v.place(merged) for v in group]),
                strict=True,
            )
        )
        size = merged.image_size
        return to_original(maps.put_into(merged), size, size)


def _mean(views: Iterable[InstanceMaps]) -> InstanceMaps:
    count, masks, heatmaps = 0, None, None
    for maps in views:
        count += 1
        masks = _add(masks, maps.masks)
        heatmaps = _add(heatmaps, maps.heatmaps)
    return InstanceMaps(
        None if masks is None else masks / count, None if heatmaps is None else heatmaps / count
    )


def _add(total: Tensor | None, term: Tensor | None) -> Tensor | None:
    return term if total is None or term is None else total + term
