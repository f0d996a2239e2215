"""The heads of "C4" models: boxes and masks share a residual stage on every crop.

N: images, M: boxes of all images
"""

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from app.engine.config import CfgNode
from app.engine.layers.norm import set_eps
from app.engine.layers.roi_pool import ROIPooler
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.backbones.resnet import StageSpec, make_stage
from app.engine.modeling.roi_heads.assignment import ProposalSampler
from app.engine.modeling.roi_heads.box_predictor import BoxPredictor
from app.engine.modeling.roi_heads.instance_maps import InstanceMaps
from app.engine.modeling.roi_heads.mask_head import MaskHead
from app.engine.structures.detections import Detections
from app.engine.structures.targets import GroundTruth, Proposals


class Res5ROIHeads(nn.Module):
    """Applies `res5` to crops; boxes use its spatial mean, masks its feature map."""

    def __init__(
        self,
        *,
        in_feature: str,
        sampler: ProposalSampler,
        pooler: ROIPooler,
        res5: nn.Module,
        box_predictor: BoxPredictor,
        mask_head: MaskHead | None = None,
    ) -> None:
        super().__init__()
        self.in_feature = in_feature
        self.sampler = sampler
        self.pooler = pooler
        self.res5 = res5
        self.box_predictor = box_predictor
        self.mask_head = mask_head

    @classmethod
    def from_config(cls, cfg: CfgNode, shapes: Mapping[str, ShapeSpec]) -> Self:
        """Build the heads on the single map that `MODEL.ROI_HEADS.IN_FEATURES` names."""
        (name,) = cfg.MODEL.ROI_HEADS.IN_FEATURES
        spec = _res5_spec(cfg, shapes[name].channels)
        # The order matters: seeded weights then equal detectron2's.
        res5 = make_stage(spec)
        set_eps(res5, cfg.MODEL.RESNETS.NORM_EPS)
        box_predictor = BoxPredictor.from_config(cfg, spec.out_channels)
        mask_head = MaskHead.from_config(cfg, spec.out_channels) if cfg.MODEL.MASK_ON else None
        return cls(
            in_feature=name,
            sampler=ProposalSampler.from_config(cfg),
            pooler=ROIPooler.from_config(cfg.MODEL.ROI_BOX_HEAD, [shapes[name].stride]),
            res5=res5,
            box_predictor=box_predictor,
            mask_head=mask_head,
        )

    def losses(
        self,
        features: Mapping[str, Tensor],
        proposals: Sequence[Proposals],
        ground_truth: Sequence[GroundTruth],
    ) -> dict[str, Tensor]:
        """`loss_cls`, `loss_box_reg`, and `loss_mask` if there is a mask head."""
        labelled = self.sampler(proposals, ground_truth)
        x = self._crops(features, [p.boxes for p in labelled])
        losses = self.box_predictor.losses(self.box_predictor(x.mean(dim=(2, 3))), labelled)
        if self.mask_head is not None:
            num_classes = self.sampler.num_classes
            classes = torch.cat([p.classes for p in labelled])
            shown = ((classes >= 0) & (classes < num_classes)).nonzero()[:, 0]
            foreground = [p.foreground(num_classes) for p in labelled]
            losses["loss_mask"] = self.mask_head.loss(x[shown], foreground)
        return losses

    def detect_boxes(
        self,
        features: Mapping[str, Tensor],
        proposals: Sequence[Proposals],
        *,
        keep_class_probs: bool,
    ) -> list[Detections]:
        """Detections of N images, boxes only."""
        x = self._crops(features, [p.boxes for p in proposals])
        predictions = self.box_predictor(x.mean(dim=(2, 3)))
        return self.box_predictor.detect(predictions, proposals, keep_class_probs=keep_class_probs)

    @property
    def has_instance_maps(self) -> bool:
        """Whether there is a head for masks."""
        return self.mask_head is not None

    def add_instance_maps(
        self, features: Mapping[str, Tensor], detections: Sequence[Detections]
    ) -> list[Detections]:
        """Add masks (R, 1, S, S) to the detections if there is a mask head."""
        maps = self.instance_maps(features, detections)
        return [of_image.put_into(d) for of_image, d in zip(maps, detections, strict=True)]

    def instance_maps(
        self, features: Mapping[str, Tensor], detections: Sequence[Detections]
    ) -> list[InstanceMaps]:
        """Masks inside the boxes of N images."""
        if self.mask_head is None:
            return [InstanceMaps() for _ in detections]
        x = self._crops(features, [d.boxes for d in detections])
        masks = self.mask_head.detect(x, torch.cat([d.classes for d in detections]))
        return [InstanceMaps(m) for m in torch.split(masks, [len(d) for d in detections])]

    def set_image_counts(self, counts: Tensor) -> None:
        """Set the number of training images with each class (K,), for the federated loss."""
        self.box_predictor.set_image_counts(counts)

    def _crops(self, features: Mapping[str, Tensor], boxes: Sequence[Tensor]) -> Tensor:
        crops: Tensor = self.res5(self.pooler([features[self.in_feature]], boxes))
        return crops


def _res5_spec(cfg: CfgNode, in_channels: int) -> StageSpec:
    resnets = cfg.MODEL.RESNETS
    return StageSpec(
        num_blocks=3,
        in_channels=in_channels,
        out_channels=resnets.RES2_OUT_CHANNELS * 8,
        stride=2,
        norm=resnets.NORM,
        bottleneck_channels=resnets.NUM_GROUPS * resnets.WIDTH_PER_GROUP * 8,
        num_groups=resnets.NUM_GROUPS,
        stride_in_1x1=resnets.STRIDE_IN_1X1,
    )
