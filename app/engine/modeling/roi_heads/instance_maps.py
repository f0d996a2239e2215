"""What heads for masks and keypoints give for boxes, before it is put into the image.

R: boxes of one image, J: keypoints of an object, S: side of masks or heatmaps
"""

from dataclasses import dataclass, replace

from torch import Tensor

from app.engine.modeling.roi_heads.keypoint_head import heatmaps_to_keypoints
from app.engine.structures.detections import Detections


@dataclass(frozen=True, slots=True)
class InstanceMaps:
    """Small maps stretched over the boxes of one image; None where a model has no such head.

    masks     (R, 1, S, S) probability that a pixel is object
    heatmaps  (R, J, S, S) logits of each keypoint's place
    """

    masks: Tensor | None = None
    heatmaps: Tensor | None = None

    def put_into(self, detections: Detections) -> Detections:
        """The detections whose boxes these are, with masks (unpasted) and keypoints."""
        if self.masks is not None:
            detections = replace(detections, masks=self.masks)
        if self.heatmaps is not None:
            keypoints = heatmaps_to_keypoints(self.heatmaps, detections.boxes)
            detections = replace(detections, keypoints=keypoints)
        return detections
