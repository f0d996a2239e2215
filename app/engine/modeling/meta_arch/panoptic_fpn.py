"""Panoptic FPN (https://arxiv.org/abs/1901.02446): Mask R-CNN and a semantic head on one body.

N: images in a batch
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from torch import Tensor

from app.engine.config import CfgNode
from app.engine.config.traits import Architecture
from app.engine.modeling.backbones import build_backbone
from app.engine.modeling.meta_arch._batch import ground_truths, originals
from app.engine.modeling.meta_arch.generalized_rcnn import GeneralizedRCNN
from app.engine.modeling.panoptic import PanopticMerge
from app.engine.modeling.roi_heads import build_roi_heads
from app.engine.modeling.rpn import build_proposal_generator
from app.engine.modeling.semantic_head import SemSegFPNHead
from app.engine.structures.boxes import Size
from app.engine.structures.detections import Detections
from app.engine.structures.sample import Sample

TRAITS = Architecture(
    in_features=("MODEL.RPN", "MODEL.ROI_HEADS", "MODEL.SEM_SEG_HEAD"),
    anchored=("MODEL.RPN",),
    results=("bbox", "sem_seg", "panoptic_seg"),
    norms={
        "MODEL.ROI_BOX_HEAD.NORM": ("MODEL.ROI_BOX_HEAD.CONV_DIM",),
        "MODEL.ROI_MASK_HEAD.NORM": ("MODEL.ROI_MASK_HEAD.CONV_DIM",),
        "MODEL.SEM_SEG_HEAD.NORM": ("MODEL.SEM_SEG_HEAD.CONVS_DIM",),
    },
    has_roi_heads=True,
)


_INSTANCE_LOSSES = ("loss_box_reg", "loss_mask")


class PanopticFPN(GeneralizedRCNN):
    """Instances, semantic logits, and both merged (unless `merge` is None).

    instance_loss_weight  weight of box and mask losses, but not of class and RPN (as detectron2)
    """

    def __init__(
        self,
        *,
        sem_seg_head: SemSegFPNHead,
        merge: PanopticMerge | None,
        instance_loss_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sem_seg_head = sem_seg_head
        self.merge = merge
        self.instance_loss_weight = instance_loss_weight

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """Build the detector that `cfg.MODEL` describes."""
        backbone = build_backbone(cfg)
        shapes = backbone.output_shape()
        combine = cfg.MODEL.PANOPTIC_FPN.COMBINE.ENABLED
        return cls(
            backbone=backbone,
            proposal_generator=build_proposal_generator(cfg, shapes),
            roi_heads=build_roi_heads(cfg, shapes),
            sem_seg_head=SemSegFPNHead.from_config(cfg, shapes),
            merge=PanopticMerge.from_config(cfg) if combine else None,
            instance_loss_weight=cfg.MODEL.PANOPTIC_FPN.INSTANCE_LOSS_WEIGHT,
            pixel_mean=cfg.MODEL.PIXEL_MEAN,
            pixel_std=cfg.MODEL.PIXEL_STD,
        )

    def losses(self, samples: list[Sample]) -> dict[str, Tensor]:
        """Return `loss_sem_seg` and the losses of the RPN and of the heads."""
        images = self.preprocess(samples)
        features = self.backbone(images.tensor)
        labels = self.sem_seg_head.targets(samples, self.size_divisibility, self.device)
        semantic_loss = self.sem_seg_head.loss(features, labels)
        truths = ground_truths(samples, self.device)
        proposals, rpn_losses = self._proposals_and_losses(features, images.sizes, samples, truths)
        losses = {
            name: loss * (self.instance_loss_weight if name.startswith(_INSTANCE_LOSSES) else 1.0)
            for name, loss in self.roi_heads.losses(features, proposals, truths).items()
        }
        return {"loss_sem_seg": semantic_loss} | rpn_losses | losses

    def detect(self, samples: list[Sample]) -> list[Detections]:
        """Instances, `semantic` logits and `panoptic` segments of the original images."""
        images = self.preprocess(samples)
        features = self.backbone(images.tensor)
        found = self._detect(features, images.sizes, samples)
        return [self.merged(d) for d in self._in_original(found, features, images.sizes, samples)]

    def detect_boxes(self, samples: list[Sample]) -> list[Detections]:
        """Instances without masks, and `semantic` logits, of the original images."""
        images = self.preprocess(samples)
        features = self.backbone(images.tensor)
        found = self._detect_boxes(features, images.sizes, samples)
        return self._in_original(found, features, images.sizes, samples)

    def merged(self, detections: Detections) -> Detections:
        """Merge pasted masks and `semantic` of one image into `panoptic`."""
        if self.merge is None or detections.semantic is None:
            return detections
        panoptic = self.merge(detections, detections.semantic.argmax(dim=0))
        return replace(detections, panoptic=panoptic)

    def _in_original(
        self,
        found: Sequence[Detections],
        features: Mapping[str, Tensor],
        sizes: Sequence[Size],
        samples: Sequence[Sample],
    ) -> list[Detections]:
        """Convert instances to the original images and add `semantic`."""
        original_sizes = [sample.original_size for sample in samples]
        semantic = self.sem_seg_head.detect(features, sizes, original_sizes)
        moved = originals(found, samples)
        return [replace(d, semantic=logits) for d, logits in zip(moved, semantic, strict=True)]
