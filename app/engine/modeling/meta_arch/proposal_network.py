"""A network that only makes proposals: a backbone and an RPN.

N: images in a batch; H, W: height, width of one level
"""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from app.engine.config import CfgNode
from app.engine.config.traits import Architecture
from app.engine.modeling.backbone import Backbone
from app.engine.modeling.backbones import build_backbone
from app.engine.modeling.detector import Detector
from app.engine.modeling.meta_arch._batch import ground_truths, originals
from app.engine.modeling.rpn import RPN
from app.engine.structures.detections import Detections
from app.engine.structures.sample import Sample

TRAITS = Architecture(
    in_features=("MODEL.RPN",), anchored=("MODEL.RPN",), results=("box_proposals",)
)


class ProposalNetwork(Detector):
    """A detector whose detections have class 0 and the objectness logit as score."""

    def __init__(
        self,
        *,
        backbone: Backbone,
        proposal_generator: RPN,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
    ) -> None:
        super().__init__(
            pixel_mean=pixel_mean,
            pixel_std=pixel_std,
            size_divisibility=backbone.size_divisibility,
        )
        self.backbone = backbone
        self.proposal_generator = proposal_generator

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """Build the network that `cfg.MODEL` describes."""
        backbone = build_backbone(cfg)
        return cls(
            backbone=backbone,
            proposal_generator=RPN.from_config(cfg, backbone.output_shape()),
            pixel_mean=cfg.MODEL.PIXEL_MEAN,
            pixel_std=cfg.MODEL.PIXEL_STD,
        )

    def losses(self, samples: list[Sample]) -> dict[str, Tensor]:
        """`loss_rpn_cls` and `loss_rpn_loc`."""
        images = self.preprocess(samples)
        features = self.backbone(images.tensor)
        return self.proposal_generator.losses(
            features, images.sizes, ground_truths(samples, self.device)
        )[1]

    def detect(self, samples: list[Sample]) -> list[Detections]:
        """Proposals in pixels of the original images."""
        images = self.preprocess(samples)
        proposals = self.proposal_generator.propose(self.backbone(images.tensor), images.sizes)
        found = [
            Detections(
                p.image_size,
                p.boxes,
                p.objectness_logits,
                torch.zeros_like(p.objectness_logits, dtype=torch.int64),
            )
            for p in proposals
        ]
        return originals(found, samples)

    def dense_class_probs(self, samples: list[Sample]) -> list[Tensor]:
        """Probability of any object at each cell: one (N, 1, H, W) for each level."""
        return self.proposal_generator.objectness(self.backbone(self.preprocess(samples).tensor))
