"""Choose the proposals that train the heads, and match them to objects.

P: proposals of one image, G: its objects, K: foreground classes; background is K
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from app.engine.config import CfgNode
from app.engine.modeling.matcher import Matcher
from app.engine.modeling.sampling import sample_labels
from app.engine.structures.boxes import Size
from app.engine.structures.targets import GroundTruth, Proposals


@dataclass(frozen=True, slots=True)
class LabelledProposals:
    """P proposals of one image, each with the object that it is matched to.

    image_size    (height, width) of the unpadded network input
    boxes         (P, 4) float32
    classes       (P,) int64 in [0, K], background is K
    matches       (P,) int64 index into `ground_truth`; 0 and meaningless for background
    ground_truth  the G objects of the image
    num_objects   exactly the first `num_objects` proposals are foreground; None if not known
    """

    image_size: Size
    boxes: Tensor
    classes: Tensor
    matches: Tensor
    ground_truth: GroundTruth
    num_objects: int | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, index: Tensor | slice) -> Self:
        """Return the proposals at `index`, with the same ground truth."""
        return replace(
            self,
            boxes=self.boxes[index],
            classes=self.classes[index],
            matches=self.matches[index],
            num_objects=None,
        )

    def foreground(self, num_classes: int) -> Self:
        """Return the proposals of a foreground class."""
        if self.num_objects is not None:
            return self.select(slice(self.num_objects))
        return self.select(((self.classes >= 0) & (self.classes < num_classes)).nonzero()[:, 0])

    @property
    def gt_boxes(self) -> Tensor:
        """Box of the matched object of each proposal: (P, 4). Meaningless for background."""
        return self.ground_truth.boxes[self.matches] if len(self.ground_truth) else self.boxes


@torch.no_grad()
def label_proposals(
    boxes: Tensor, size: Size, truth: GroundTruth, matcher: Matcher, num_classes: int
) -> LabelledProposals:
    """Match every box (P, 4) to the objects of its image."""
    matches, labels = matcher.match_boxes(truth.boxes, boxes)
    if len(truth):
        classes = truth.classes[matches]
        classes = torch.where(labels == 0, num_classes, classes)
        classes = torch.where(labels == -1, -1, classes)
    else:
        classes = torch.full_like(matches, num_classes)
    return LabelledProposals(size, boxes, classes, matches, truth)


@dataclass(frozen=True)
class ProposalSampler:
    """Draws a balanced sample of the proposals of each image."""

    matcher: Matcher
    num_classes: int
    batch_size_per_image: int
    positive_fraction: float
    append_ground_truth: bool = True

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """The sampler of `MODEL.ROI_HEADS`."""
        heads = cfg.MODEL.ROI_HEADS
        return cls(
            matcher=Matcher(heads.IOU_THRESHOLDS, heads.IOU_LABELS),
            num_classes=heads.NUM_CLASSES,
            batch_size_per_image=heads.BATCH_SIZE_PER_IMAGE,
            positive_fraction=heads.POSITIVE_FRACTION,
            append_ground_truth=heads.PROPOSAL_APPEND_GT,
        )

    @torch.no_grad()
    def __call__(
        self, proposals: Sequence[Proposals], ground_truth: Sequence[GroundTruth]
    ) -> list[LabelledProposals]:
        """Draw at most `batch_size_per_image` proposals of each image, foreground first."""
        labelled = [
            self._label(of_image, truth)
            for of_image, truth in zip(proposals, ground_truth, strict=True)
        ]
        chosen = sample_labels(
            [of_image.classes for of_image in labelled],
            self.batch_size_per_image,
            self.positive_fraction,
            background=self.num_classes,
        )
        return [
            replace(of_image.select(torch.cat(index)), num_objects=len(index[0]))
            for of_image, index in zip(labelled, chosen, strict=True)
        ]

    def _label(self, proposals: Proposals, truth: GroundTruth) -> LabelledProposals:
        boxes = proposals.boxes
        if self.append_ground_truth:
            # Early in training perhaps no proposal overlaps an object; its own box always does.
            boxes = torch.cat((boxes, truth.boxes))
        return label_proposals(boxes, proposals.image_size, truth, self.matcher, self.num_classes)
