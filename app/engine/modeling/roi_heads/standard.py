"""Heads for boxes, masks and keypoints; each head crops its own features.

N: images, P: proposals of one image, M: boxes of all images
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from app.engine.config import CfgNode
from app.engine.layers.roi_pool import ROIPooler
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.backbone import shared_shapes
from app.engine.modeling.roi_heads.assignment import LabelledProposals, ProposalSampler
from app.engine.modeling.roi_heads.box_head import FastRCNNConvFCHead
from app.engine.modeling.roi_heads.box_predictor import BoxPredictions, BoxPredictor
from app.engine.modeling.roi_heads.instance_maps import InstanceMaps
from app.engine.modeling.roi_heads.keypoint_head import KeypointHead, with_visible_keypoints
from app.engine.modeling.roi_heads.mask_head import MaskHead
from app.engine.structures.detections import Detections
from app.engine.structures.targets import GroundTruth, Proposals


class StandardROIHeads(nn.Module):
    """Box head and predictor; mask and keypoint heads work on foreground or detected boxes.

    train_on_pred_boxes  train masks and keypoints inside the predicted boxes, not the proposals
    """

    box_head: nn.Module
    box_predictor: nn.Module
    mask_head: MaskHead | None
    keypoint_head: KeypointHead | None

    def __init__(
        self,
        *,
        in_features: Sequence[str],
        sampler: ProposalSampler,
        box_pooler: ROIPooler,
        box_head: nn.Module,
        box_predictor: nn.Module,
        mask_pooler: ROIPooler | None = None,
        mask_head: MaskHead | None = None,
        keypoint_pooler: ROIPooler | None = None,
        keypoint_head: KeypointHead | None = None,
        train_on_pred_boxes: bool = False,
    ) -> None:
        super().__init__()
        self.in_features = list(in_features)
        self.sampler = sampler
        self.box_pooler = box_pooler
        self.box_head = box_head
        self.box_predictor = box_predictor
        self.mask_pooler = mask_pooler
        self.mask_head = mask_head
        self.keypoint_pooler = keypoint_pooler
        self.keypoint_head = keypoint_head
        self.train_on_pred_boxes = train_on_pred_boxes

    @classmethod
    def from_config(cls, cfg: CfgNode, shapes: Mapping[str, ShapeSpec]) -> Self:
        """Build the heads of `MODEL.ROI_*` on the maps of `MODEL.ROI_HEADS.IN_FEATURES`."""
        model = cfg.MODEL
        in_features = list(model.ROI_HEADS.IN_FEATURES)
        chosen = shared_shapes("MODEL.ROI_HEADS", in_features, shapes)
        channels, strides = chosen[0].channels, [shape.stride for shape in chosen]
        # The order matters: seeded weights then equal detectron2's.
        box_head, box_predictor = cls._box_branch(cfg, channels)
        mask_head = MaskHead.from_config(cfg, channels) if model.MASK_ON else None
        keypoint_head = KeypointHead.from_config(cfg, channels) if model.KEYPOINT_ON else None
        return cls(
            in_features=in_features,
            sampler=ProposalSampler.from_config(cfg),
            box_pooler=ROIPooler.from_config(model.ROI_BOX_HEAD, strides),
            box_head=box_head,
            box_predictor=box_predictor,
            mask_pooler=ROIPooler.from_config(model.ROI_MASK_HEAD, strides) if mask_head else None,
            mask_head=mask_head,
            keypoint_pooler=(
                ROIPooler.from_config(model.ROI_KEYPOINT_HEAD, strides) if keypoint_head else None
            ),
            keypoint_head=keypoint_head,
            train_on_pred_boxes=model.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES,
        )

    @classmethod
    def _box_branch(cls, cfg: CfgNode, channels: int) -> tuple[nn.Module, nn.Module]:
        head = FastRCNNConvFCHead.from_config(cfg, channels)
        return head, BoxPredictor.from_config(cfg, head.out_dim)

    def losses(
        self,
        features: Mapping[str, Tensor],
        proposals: Sequence[Proposals],
        ground_truth: Sequence[GroundTruth],
    ) -> dict[str, Tensor]:
        """`loss_cls`, `loss_box_reg`, and `loss_mask`, `loss_keypoint` if the head exists."""
        labelled = self.sampler(proposals, ground_truth)
        maps = [features[name] for name in self.in_features]
        losses, labelled = self._box_losses(maps, labelled)
        foreground = [p.foreground(self.sampler.num_classes) for p in labelled]
        if self.mask_head is not None and self.mask_pooler is not None:
            x = self.mask_pooler(maps, [p.boxes for p in foreground])
            losses["loss_mask"] = self.mask_head.loss(x, foreground)
        if self.keypoint_head is not None and self.keypoint_pooler is not None:
            visible = [with_visible_keypoints(p) for p in foreground]
            x = self.keypoint_pooler(maps, [p.boxes for p in visible])
            losses["loss_keypoint"] = self.keypoint_head.loss(x, visible)
        return losses

    def detect_boxes(
        self,
        features: Mapping[str, Tensor],
        proposals: Sequence[Proposals],
        *,
        keep_class_probs: bool,
    ) -> list[Detections]:
        """Detections of N images, boxes only."""
        maps = [features[name] for name in self.in_features]
        return self._detect_boxes(maps, proposals, keep_class_probs=keep_class_probs)

    @property
    def has_instance_maps(self) -> bool:
        """Whether there are heads for masks or keypoints."""
        return self.mask_head is not None or self.keypoint_head is not None

    def add_instance_maps(
        self, features: Mapping[str, Tensor], detections: Sequence[Detections]
    ) -> list[Detections]:
        """Add masks (R, 1, S, S) and keypoints to the detections if the head exists."""
        maps = self.instance_maps(features, detections)
        return [of_image.put_into(d) for of_image, d in zip(maps, detections, strict=True)]

    def instance_maps(
        self, features: Mapping[str, Tensor], detections: Sequence[Detections]
    ) -> list[InstanceMaps]:
        """Masks and heatmaps inside the boxes of N images."""
        maps = [features[name] for name in self.in_features]
        boxes, counts = [d.boxes for d in detections], [len(d) for d in detections]
        found = [InstanceMaps() for _ in detections]
        if self.mask_head is not None and self.mask_pooler is not None:
            classes = torch.cat([d.classes for d in detections])
            masks = self.mask_head.detect(self.mask_pooler(maps, boxes), classes)
            split = torch.split(masks, counts)
            found = [replace(f, masks=m) for f, m in zip(found, split, strict=True)]
        if self.keypoint_head is not None and self.keypoint_pooler is not None:
            heatmaps = self.keypoint_head(self.keypoint_pooler(maps, boxes)).float()
            split = torch.split(heatmaps, counts)
            found = [replace(f, heatmaps=h) for f, h in zip(found, split, strict=True)]
        return found

    def set_image_counts(self, counts: Tensor) -> None:
        """Set the number of training images with each class (K,), for the federated loss."""
        for module in self.modules():
            if isinstance(module, BoxPredictor):
                module.set_image_counts(counts)

    def _box_losses(
        self, maps: Sequence[Tensor], proposals: list[LabelledProposals]
    ) -> tuple[dict[str, Tensor], list[LabelledProposals]]:
        """Return losses, and the boxes that the other heads are trained on."""
        assert isinstance(self.box_predictor, BoxPredictor)
        predictions = self._predict(maps, [p.boxes for p in proposals])
        losses = self.box_predictor.losses(predictions, proposals)
        if self.train_on_pred_boxes:
            proposals = _refined(self.box_predictor, predictions, proposals)
        return losses, proposals

    def _detect_boxes(
        self, maps: Sequence[Tensor], proposals: Sequence[Proposals], *, keep_class_probs: bool
    ) -> list[Detections]:
        assert isinstance(self.box_predictor, BoxPredictor)
        predictions = self._predict(maps, [p.boxes for p in proposals])
        return self.box_predictor.detect(predictions, proposals, keep_class_probs=keep_class_probs)

    def _predict(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> BoxPredictions:
        predictions: BoxPredictions = self.box_predictor(
            self.box_head(self.box_pooler(maps, boxes))
        )
        return predictions


@torch.no_grad()
def _refined(
    predictor: BoxPredictor, predictions: BoxPredictions, proposals: Sequence[LabelledProposals]
) -> list[LabelledProposals]:
    boxes = torch.cat([p.boxes for p in proposals])
    classes = torch.cat([p.classes for p in proposals])
    refined = predictor.refine(predictions, boxes, classes)
    split = torch.split(refined, [len(p) for p in proposals])
    return [replace(p, boxes=b) for p, b in zip(proposals, split, strict=True)]
