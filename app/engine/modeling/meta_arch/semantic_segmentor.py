"""A backbone and a semantic head: a class for every pixel, no instances.

N: images in a batch, C: classes
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from torch import Tensor

from app.engine.config import CfgNode
from app.engine.config.traits import Architecture
from app.engine.modeling.backbone import Backbone
from app.engine.modeling.backbones import build_backbone
from app.engine.modeling.detector import Detector
from app.engine.modeling.semantic_head import SemSegFPNHead
from app.engine.structures.detections import Detections
from app.engine.structures.sample import Sample

TRAITS = Architecture(
    in_features=("MODEL.SEM_SEG_HEAD",),
    results=("sem_seg",),
    norms={"MODEL.SEM_SEG_HEAD.NORM": ("MODEL.SEM_SEG_HEAD.CONVS_DIM",)},
)


class SemanticSegmentor(Detector):
    """A detector whose detections have no boxes, only `semantic` logits."""

    def __init__(
        self,
        *,
        backbone: Backbone,
        sem_seg_head: SemSegFPNHead,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
    ) -> None:
        super().__init__(
            pixel_mean=pixel_mean,
            pixel_std=pixel_std,
            size_divisibility=backbone.size_divisibility,
        )
        self.backbone = backbone
        self.sem_seg_head = sem_seg_head

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """Build the network that `cfg.MODEL` describes."""
        backbone = build_backbone(cfg)
        return cls(
            backbone=backbone,
            sem_seg_head=SemSegFPNHead.from_config(cfg, backbone.output_shape()),
            pixel_mean=cfg.MODEL.PIXEL_MEAN,
            pixel_std=cfg.MODEL.PIXEL_STD,
        )

    def losses(self, samples: list[Sample]) -> dict[str, Tensor]:
        """`loss_sem_seg`."""
        labels = self.sem_seg_head.targets(samples, self.size_divisibility, self.device)
        features = self.backbone(self.preprocess(samples).tensor)
        return {"loss_sem_seg": self.sem_seg_head.loss(features, labels)}

    def detect(self, samples: list[Sample]) -> list[Detections]:
        """Logits of every pixel of the original images."""
        images = self.preprocess(samples)
        original_sizes = [sample.original_size for sample in samples]
        semantic = self.sem_seg_head.detect(
            self.backbone(images.tensor), images.sizes, original_sizes
        )
        return [
            replace(Detections.empty(size, self.device), semantic=logits)
            for size, logits in zip(original_sizes, semantic, strict=True)
        ]

    def dense_class_probs(self, samples: list[Sample]) -> list[Tensor]:
        """Class probabilities of each cell: one (N, C, H, W); the sum over classes is 1."""
        logits = self.sem_seg_head(self.backbone(self.preprocess(samples).tensor))
        return [logits.float().softmax(dim=1)]
