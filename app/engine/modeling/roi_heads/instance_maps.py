"""The outputs of the mask and keypoint heads for boxes, before they are pasted.

R: boxes of one image, J: keypoints of an object, S: side of masks or heatmaps
"""

from dataclasses import dataclass, replace

from torch import Tensor

from app.engine.modeling.roi_heads.keypoint_head import heatmaps_to_keypoints
from app.engine.structures.detections import Detections


@dataclass(frozen=True, slots=True)
class InstanceMaps:
    """Mask and heatmaps inside each box of one image; None if the model lacks the head.

    masks     (R, 1, S, S) probability that a pixel belongs to the object
    heatmaps  (R, J, S, S) logits of the position of each keypoint
    """

    masks: Tensor | None = None
    heatmaps: Tensor | None = None

    def put_into(self, detections: Detections) -> Detections:
        """Add masks (not pasted yet) and keypoints to the detections of the same boxes."""
        if self.masks is not None:
            detections = replace(detections, masks=self.masks)
        if self.heatmaps is not None:
            keypoints = heatmaps_to_keypoints(self.heatmaps, detections.boxes)
            detections = replace(detections, keypoints=keypoints)
        return detections
