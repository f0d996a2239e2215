"""Views of an image at several scales, also mirrored, and the mapping back to the image.

R: objects, C: semantic classes, J: keypoints, S: side of masks or heatmaps
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from app.engine.config import CfgNode
from app.engine.data.loading.mapper import image_tensor
from app.engine.data.transforms.geometric import resize
from app.engine.data.transforms.keypoints import require_mirror
from app.engine.errors import ConfigError
from app.engine.modeling.roi_heads.instance_maps import InstanceMaps
from app.engine.structures import boxes as box_ops
from app.engine.structures.boxes import Size
from app.engine.structures.detections import Detections
from app.engine.structures.sample import Sample
from app.engine.structures.size import shortest_edge_size
from app.engine.structures.targets import Proposals

# Views are padded to the largest of their batch, which changes detections near the border.
_BATCH_SIZE = 3


@dataclass(frozen=True, slots=True)
class View:
    """A network input with a resized and perhaps mirrored image.

    sample    its `original_size` is the size of the image itself
    mirrored  whether left and right are exchanged
    """

    sample: Sample
    mirrored: bool

    def place(self, detections: Detections) -> Detections:
        """Map boxes in the original image to the view."""
        size, original = self.sample.size, self.sample.original_size
        scaled = box_ops.scale(detections.boxes, size[1] / original[1], size[0] / original[0])
        boxes = _mirror_boxes(scaled, size[1]) if self.mirrored else scaled
        return Detections(size, boxes, detections.scores, detections.classes)

    def upright(self, detections: Detections) -> Detections:
        """Mirror detections of the view, in original pixels, back to the image if needed."""
        if not self.mirrored:
            return detections
        semantic = detections.semantic
        return replace(
            detections,
            boxes=_mirror_boxes(detections.boxes, self.sample.original_size[1]),
            semantic=None if semantic is None else semantic.flip(-1),
        )

    def upright_maps(self, maps: InstanceMaps, keypoint_flip: Sequence[int]) -> InstanceMaps:
        """Mirror masks and heatmaps of the view back to the image if needed.

        keypoint_flip  index of each keypoint's mirror image
        """
        if not self.mirrored:
            return maps
        masks, heatmaps = maps.masks, maps.heatmaps
        return InstanceMaps(
            None if masks is None else masks.flip(-1),
            None if heatmaps is None else heatmaps[:, list(keypoint_flip)].flip(-1),
        )


@dataclass(frozen=True, slots=True)
class ViewSpec:
    """The views of an image that are used.

    min_sizes      short sides in pixels
    max_size       limit of the long side
    flip           use each view mirrored as well
    keypoint_flip  index of each keypoint's mirror image; () without keypoints
    """

    min_sizes: tuple[int, ...]
    max_size: int
    flip: bool
    keypoint_flip: tuple[int, ...] = ()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """Return the views of `TEST.AUG`."""
        aug = cfg.TEST.AUG
        if not aug.MIN_SIZES or min(aug.MIN_SIZES) < 1 or aug.MAX_SIZE < 1:
            raise ConfigError(
                f"TEST.AUG has MIN_SIZES {list(aug.MIN_SIZES)} and MAX_SIZE {aug.MAX_SIZE}; give "
                "at least one short side, in pixels, or set TEST.AUG.ENABLED False"
            )
        flips = require_mirror(cfg, "TEST.AUG.FLIP") if cfg.MODEL.KEYPOINT_ON and aug.FLIP else ()
        return cls(tuple(aug.MIN_SIZES), aug.MAX_SIZE, aug.FLIP, tuple(flips))

    def __call__(self, sample: Sample) -> Iterator[list[View]]:
        """Yield the views in the order and the batches of detectron2."""
        views = list(self._views(sample))
        for start in range(0, len(views), _BATCH_SIZE):
            yield views[start : start + _BATCH_SIZE]

    def _views(self, sample: Sample) -> Iterator[View]:
        # Like detectron2, resize the network's input and not the file, for the same numbers.
        for edge in self.min_sizes:
            resized = _resized(sample, shortest_edge_size(sample.size, edge, self.max_size))
            yield View(resized, False)
            if self.flip:
                yield View(_mirrored(resized), True)


def _resized(sample: Sample, size: Size) -> Sample:
    if size == sample.size:
        return sample
    # This is done on the CPU because GPUs cannot resize integers.
    pixels = resize(sample.image.cpu().permute(1, 2, 0).numpy(), size)
    proposals = sample.proposals
    if proposals is not None:
        scale_y, scale_x = size[0] / sample.size[0], size[1] / sample.size[1]
        boxes = box_ops.scale(proposals.boxes, scale_x, scale_y)
        proposals = Proposals(size, boxes, proposals.objectness_logits)
    return replace(
        sample, image=image_tensor(pixels), proposals=proposals, ground_truth=None, semantic=None
    )


def _mirrored(sample: Sample) -> Sample:
    proposals = sample.proposals
    if proposals is not None:
        boxes = _mirror_boxes(proposals.boxes, sample.size[1])
        proposals = replace(proposals, boxes=boxes)
    return replace(
        sample, image=sample.image.flip(-1), proposals=proposals, ground_truth=None, semantic=None
    )


def _mirror_boxes(boxes: Tensor, width: int) -> Tensor:
    x0, y0, x1, y1 = boxes.unbind(dim=1)
    return torch.stack((width - x1, y0, width - x0, y1), dim=1)
