"""Two-stage detectors: a backbone, proposals, and heads that work on each proposal.

N: images in a batch; H, W: height, width of one level
"""

from collections.abc import Mapping, Sequence
from typing import Self

from torch import Tensor

from app.engine.config import CfgNode
from app.engine.config.traits import Architecture
from app.engine.errors import ConfigError
from app.engine.modeling.backbone import Backbone
from app.engine.modeling.backbones import build_backbone
from app.engine.modeling.detector import Detector
from app.engine.modeling.meta_arch._batch import ground_truths, originals
from app.engine.modeling.proposals import precomputed_proposals
from app.engine.modeling.roi_heads import ROIHeads, build_roi_heads
from app.engine.modeling.roi_heads.instance_maps import InstanceMaps
from app.engine.modeling.rpn import RPN, build_proposal_generator
from app.engine.structures.boxes import Size
from app.engine.structures.detections import Detections
from app.engine.structures.sample import Sample
from app.engine.structures.targets import GroundTruth, Proposals

TRAITS = Architecture(
    in_features=("MODEL.RPN", "MODEL.ROI_HEADS"),
    anchored=("MODEL.RPN",),
    norms={
        "MODEL.ROI_BOX_HEAD.NORM": ("MODEL.ROI_BOX_HEAD.CONV_DIM",),
        "MODEL.ROI_MASK_HEAD.NORM": ("MODEL.ROI_MASK_HEAD.CONV_DIM",),
    },
    has_roi_heads=True,
    has_graph=True,
)


class GeneralizedRCNN(Detector):
    """Fast, Faster, Mask, Keypoint and Cascade R-CNN; without an RPN the data has proposals."""

    def __init__(
        self,
        *,
        backbone: Backbone,
        proposal_generator: RPN | None,
        roi_heads: ROIHeads,
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
        self.roi_heads = roi_heads

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """Build the detector that `cfg.MODEL` describes."""
        backbone = build_backbone(cfg)
        shapes = backbone.output_shape()
        return cls(
            backbone=backbone,
            proposal_generator=build_proposal_generator(cfg, shapes),
            roi_heads=build_roi_heads(cfg, shapes),
            pixel_mean=cfg.MODEL.PIXEL_MEAN,
            pixel_std=cfg.MODEL.PIXEL_STD,
        )

    def losses(self, samples: list[Sample]) -> dict[str, Tensor]:
        """Return the losses of the heads and of the RPN."""
        images = self.preprocess(samples)
        return self._losses(self.backbone(images.tensor), images.sizes, samples)

    def detect(self, samples: list[Sample]) -> list[Detections]:
        """Detections with masks and keypoints, in pixels of the original images."""
        images = self.preprocess(samples)
        found = self._detect(self.backbone(images.tensor), images.sizes, samples)
        return originals(found, samples)

    def detect_boxes(self, samples: list[Sample]) -> list[Detections]:
        """Detections without masks and keypoints, in pixels of the original images."""
        images = self.preprocess(samples)
        found = self._detect_boxes(self.backbone(images.tensor), images.sizes, samples)
        return originals(found, samples)

    @property
    def has_instance_maps(self) -> bool:
        """Whether there are heads for masks or keypoints."""
        return self.roi_heads.has_instance_maps

    def instance_maps(
        self, samples: list[Sample], detections: Sequence[Detections]
    ) -> list[InstanceMaps]:
        """Masks and keypoints inside given boxes, in the coordinates of the network's input."""
        features = self.backbone(self.preprocess(samples).tensor)
        return self.roi_heads.instance_maps(features, detections)

    def dense_class_probs(self, samples: list[Sample]) -> list[Tensor]:
        """Probability of any object at each cell: one (N, 1, H, W) for each level."""
        if self.proposal_generator is None:
            raise ConfigError(
                "a network on precomputed proposals says nothing of every place of an image; "
                "choose a mining algorithm on detections, or a network with an RPN"
            )
        features = self.backbone(self.preprocess(samples).tensor)
        return self.proposal_generator.objectness(features)

    def set_image_counts(self, counts: Tensor) -> None:
        """Set the number of training images with each class (K,), for the federated loss."""
        self.roi_heads.set_image_counts(counts)

    def _losses(
        self, features: Mapping[str, Tensor], sizes: Sequence[Size], samples: Sequence[Sample]
    ) -> dict[str, Tensor]:
        truths = ground_truths(samples, self.device)
        proposals, rpn_losses = self._proposals_and_losses(features, sizes, samples, truths)
        return self.roi_heads.losses(features, proposals, truths) | rpn_losses

    def _proposals_and_losses(
        self,
        features: Mapping[str, Tensor],
        sizes: Sequence[Size],
        samples: Sequence[Sample],
        truths: Sequence[GroundTruth],
    ) -> tuple[list[Proposals], dict[str, Tensor]]:
        if self.proposal_generator is None:
            return precomputed_proposals(samples, self.device), {}
        return self.proposal_generator.losses(features, sizes, truths)

    def _detect(
        self, features: Mapping[str, Tensor], sizes: Sequence[Size], samples: Sequence[Sample]
    ) -> list[Detections]:
        """Detections in the network's input; masks are not pasted yet."""
        found = self._detect_boxes(features, sizes, samples)
        return self.roi_heads.add_instance_maps(features, found)

    def _detect_boxes(
        self, features: Mapping[str, Tensor], sizes: Sequence[Size], samples: Sequence[Sample]
    ) -> list[Detections]:
        """Boxes in the network's input."""
        if self.proposal_generator is None:
            proposals = precomputed_proposals(samples, self.device)
        else:
            proposals = self.proposal_generator.propose(features, sizes)
        return self.roi_heads.detect_boxes(
            features, proposals, keep_class_probs=self.keep_class_probs
        )
