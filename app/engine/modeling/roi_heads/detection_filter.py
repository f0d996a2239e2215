"""Select the detections of one image from the class probabilities and deltas of proposals.

P: proposals, R: detections, K: foreground classes, k: K, or 1 if class-agnostic
"""

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from app.engine.config import CfgNode
from app.engine.layers.nms import batched_nms
from app.engine.modeling.box_regression import Coder
from app.engine.structures import boxes as box_ops
from app.engine.structures.boxes import Size
from app.engine.structures.detections import Detections


@dataclass(frozen=True, slots=True)
class DetectionFilter:
    """Selects the pairs of proposal and class that become detections.

    score_thresh    scores must exceed this
    nms_thresh      of two boxes of a class with a higher IoU, NMS drops the worse
    max_detections  largest number for one image, over all classes
    """

    score_thresh: float = 0.05
    nms_thresh: float = 0.5
    max_detections: int = 100

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """The filter of `MODEL.ROI_HEADS`."""
        return cls(
            score_thresh=cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST,
            nms_thresh=cfg.MODEL.ROI_HEADS.NMS_THRESH_TEST,
            max_detections=cfg.TEST.DETECTIONS_PER_IMAGE,
        )

    def __call__(
        self, probs: Tensor, deltas: Tensor, boxes: Tensor, size: Size, coder: Coder
    ) -> tuple[Detections, Tensor]:
        """Return detections, and the index of the proposal of each: (R,) int64.

        probs (P, K + 1), deltas (P, k * 4), boxes (P, 4); a proposal can become detections of
        several classes. Proposals with infinite or NaN values are dropped.
        """
        finite = probs.isfinite().all(dim=1) & deltas.isfinite().all(dim=1)
        likely = (probs[:, :-1] > self.score_thresh) & finite[:, None]
        proposals, classes = likely.nonzero(as_tuple=True)
        scores = probs[proposals, classes]
        class_agnostic = deltas.shape[1] == 4
        chosen = deltas.view(len(deltas), deltas.shape[1] // 4, 4)[
            proposals, 0 if class_agnostic else classes
        ]
        # Decode only the likely pairs: they are few of thousands.
        found = box_ops.clip(coder.decode(chosen, boxes[proposals]), size)
        kept = batched_nms(found, scores, classes, self.nms_thresh, limit=self.max_detections)
        return Detections(size, found[kept], scores[kept], classes[kept]), proposals[kept]
