"""Select proposals: take the best anchors of each level, decode, clip, apply NMS.

N: images, L: levels, P: proposals of one image
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from app.engine.config import CfgNode
from app.engine.errors import DatasetError, DivergedError
from app.engine.layers.nms import batched_nms
from app.engine.modeling.box_regression import Coder
from app.engine.structures import boxes as box_ops
from app.engine.structures.boxes import Size
from app.engine.structures.moves import move
from app.engine.structures.sample import Sample
from app.engine.structures.targets import Proposals


@dataclass(frozen=True, slots=True)
class ProposalFilter:
    """Selects the decoded anchors that become proposals.

    pre_nms_topk   number of the best anchors of each level that NMS gets
    post_nms_topk  number of the best proposals of one image that are kept after NMS
    nms_thresh     of two boxes of a level with a higher IoU, NMS drops the worse
    min_size       both sides must exceed this, in pixels of the network's input
    score_thresh   probability of an object that proposals must have
    strict         raise an error if a box or logit is not finite, instead of dropping it
    """

    pre_nms_topk: int
    post_nms_topk: int
    nms_thresh: float = 0.7
    min_size: float = 0.0
    score_thresh: float = 0.0
    strict: bool = False

    @classmethod
    def from_config(cls, cfg: CfgNode, *, training: bool) -> Self:
        """Build the filter for training or for testing."""
        rpn = cfg.MODEL.RPN
        return cls(
            pre_nms_topk=rpn.PRE_NMS_TOPK_TRAIN if training else rpn.PRE_NMS_TOPK_TEST,
            post_nms_topk=rpn.POST_NMS_TOPK_TRAIN if training else rpn.POST_NMS_TOPK_TEST,
            nms_thresh=rpn.NMS_THRESH,
            min_size=cfg.MODEL.PROPOSAL_GENERATOR.MIN_SIZE,
            score_thresh=rpn.SCORE_THRESH,
            strict=training,
        )

    @torch.no_grad()
    def __call__(
        self,
        anchors: Sequence[Tensor],
        logits: Sequence[Tensor],
        deltas: Sequence[Tensor],
        coder: Coder,
        sizes: Sequence[Size],
    ) -> list[Proposals]:
        """L anchors (R_l, 4), logits (N, R_l) and deltas (N, R_l, 4) -> proposals of N images.

        Proposals have no gradient: the second stage treats its input boxes as constants.
        """
        best_logits, level_of, boxes = self._best(anchors, logits, deltas, coder)
        finite = boxes.isfinite().all(dim=2) & best_logits.isfinite()
        corners = move(
            torch.tensor([(w, h, w, h) for h, w in sizes], dtype=boxes.dtype), boxes.device
        )
        boxes = torch.minimum(boxes.clamp(min=0), corners[:, None])
        valid = finite & box_ops.nonempty(boxes, self.min_size)
        if self.score_thresh:
            valid &= best_logits.sigmoid() >= self.score_thresh
        # Synchronise with the device once, not once for each image.
        *counts, num_finite = torch.cat((valid.sum(dim=1), finite.sum()[None])).tolist()
        if self.strict and num_finite < finite.numel():
            raise DivergedError(
                "the region proposal network predicts infinite or NaN boxes: training has "
                "diverged; lower the learning rate or clip the gradients"
            )
        image, index = valid.nonzero(as_tuple=True)
        columns = (boxes[image, index], best_logits[image, index], level_of[index])
        return [
            self._of_image(size, *of_image)
            for size, *of_image in zip(
                sizes, *(torch.split(c, counts) for c in columns), strict=True
            )
        ]

    def _best(
        self,
        anchors: Sequence[Tensor],
        logits: Sequence[Tensor],
        deltas: Sequence[Tensor],
        coder: Coder,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The S best anchors of all levels: logits (N, S), level (S,) and boxes (N, S, 4)."""
        scores, levels, chosen_deltas, chosen_anchors = [], [], [], []
        for level, of_level in enumerate(logits):
            topk = min(self.pre_nms_topk, of_level.shape[1])
            best, index = of_level.float().topk(topk, dim=1)
            scores.append(best)
            levels.append(torch.full_like(best[0], level, dtype=torch.int64))
            chosen_deltas.append(deltas[level].gather(1, index[:, :, None].expand(-1, -1, 4)))
            chosen_anchors.append(anchors[level][index])
        together = torch.cat(chosen_deltas, dim=1)
        boxes = coder.decode(together.flatten(0, 1), torch.cat(chosen_anchors, 1).flatten(0, 1))
        return torch.cat(scores, dim=1), torch.cat(levels), boxes.view(together.shape)

    def _of_image(self, size: Size, boxes: Tensor, logits: Tensor, level_of: Tensor) -> Proposals:
        kept = batched_nms(boxes, logits, level_of, self.nms_thresh, limit=self.post_nms_topk)
        return Proposals(size, boxes[kept], logits[kept])


def precomputed_proposals(samples: Sequence[Sample], device: torch.device) -> list[Proposals]:
    """The proposals of the data set (`PROPOSAL_GENERATOR.NAME: PrecomputedProposals`)."""
    proposals = []
    for sample in samples:
        if sample.proposals is None:
            raise DatasetError(
                f"image {sample.image_id} has no precomputed proposals; name a proposal file for "
                "its data set (DATASETS.PROPOSAL_FILES_TRAIN, _TEST) or use a network with an RPN"
            )
        proposals.append(sample.proposals.to(device))
    return proposals
