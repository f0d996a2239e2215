"""The labels of a record in the coordinates of a transformed image: boxes, masks, keypoints, maps.

G: objects, H and W: size of the network's input
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from app.engine.config import CfgNode
from app.engine.data.images.reading import read_labels
from app.engine.data.transforms.keypoints import keypoint_mirror
from app.engine.data.transforms.tile_crop import TileOfPhotograph
from app.engine.data.transforms.transform import (
    Transform,
    transform_boxes,
    transform_keypoints,
    transform_labels,
    transform_polygons,
)
from app.engine.errors import DatasetError, ImageError
from app.engine.structures.boxes import Size, clip, nonempty
from app.engine.structures.masks import BitMasks, Masks, PolygonMasks, rasterize
from app.engine.structures.record import ImageRecord, Segmentation
from app.engine.structures.targets import GroundTruth

_MIN_SIDE = 1e-5  # detectron2's threshold for boxes that a crop has cut away


class GroundTruthMapper:
    """The labels of a record in the coordinates of a transformed image.

    mask_format        "polygon", "bitmask", or "" for no masks
    keypoint_flip      index of each keypoint's mirror image, or None for no keypoints
    recompute_boxes    whether boxes are computed from the (cropped) masks
    min_visible        least share of an object that a tile of a photograph must show, of what it
                       can show at most; objects that show less are no objects there
    """

    def __init__(
        self,
        *,
        mask_format: str = "",
        keypoint_flip: Sequence[int] | None = None,
        recompute_boxes: bool = False,
        min_visible: float = 0.0,
    ) -> None:
        assert mask_format or not recompute_boxes
        self.mask_format = mask_format
        self.keypoint_flip = keypoint_flip
        self.recompute_boxes = recompute_boxes
        self.min_visible = min_visible

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """Read the arguments from MODEL and INPUT."""
        cropped = cfg.INPUT.CROP.ENABLED or cfg.INPUT.RECOMPUTE_BOXES or cfg.INPUT.TILES.SIZE > 0
        return cls(
            mask_format=cfg.INPUT.MASK_FORMAT if cfg.MODEL.MASK_ON else "",
            keypoint_flip=_keypoint_flip(cfg) if cfg.MODEL.KEYPOINT_ON else None,
            recompute_boxes=bool(cropped and cfg.MODEL.MASK_ON),
            min_visible=float(cfg.INPUT.TILES.MIN_VISIBLE),
        )

    def __call__(
        self, record: ImageRecord, transforms: Sequence[Transform], size: Size
    ) -> GroundTruth:
        """Return the objects that are no crowds and still have an area (and a mask, if needed)."""
        kept = self._usable(record, transforms)
        boxes = torch.from_numpy(transform_boxes(transforms, record.boxes[kept]))
        masks = self._masks(record, kept, transforms, size) if self.mask_format else None
        ground_truth = GroundTruth(
            boxes=clip(boxes, size).float(),
            classes=torch.from_numpy(record.classes[kept]),
            masks=masks,
            keypoints=self._keypoints(record, kept, transforms, size),
        )
        if self.recompute_boxes and masks is not None:
            ground_truth = GroundTruth(
                masks.tight_boxes(), ground_truth.classes, masks, ground_truth.keypoints
            )
        whole = nonempty(ground_truth.boxes, _MIN_SIDE)
        if masks is not None:
            whole &= masks.nonempty()
        return ground_truth if bool(whole.all()) else ground_truth.select(whole)

    def _usable(
        self, record: ImageRecord, transforms: Sequence[Transform]
    ) -> npt.NDArray[np.int64]:
        usable = np.ones(len(record), dtype=np.bool_) if record.crowd is None else ~record.crowd
        if self.mask_format:
            masks = record.segmentations or [None] * len(record)
            usable &= np.array([bool(mask) for mask in masks], dtype=np.bool_)
        if transforms and isinstance(transforms[0], TileOfPhotograph):
            usable &= transforms[0].visible_shares(record.boxes) >= self.min_visible
        return np.flatnonzero(usable)

    def _masks(
        self,
        record: ImageRecord,
        kept: npt.NDArray[np.int64],
        transforms: Sequence[Transform],
        size: Size,
    ) -> Masks:
        all_masks = record.segmentations or []
        segmentations = [mask for i in kept if (mask := all_masks[i]) is not None]
        has_codes = any(isinstance(mask, dict) for mask in segmentations)
        if self.mask_format == "polygon" and not has_codes:
            return PolygonMasks(
                [transform_polygons(transforms, m) for m in segmentations if isinstance(m, list)]
            )
        bits = [_bitmap(mask, transforms, size) for mask in segmentations]
        stacked = np.stack(bits) if bits else np.zeros((0, *size), dtype=np.bool_)
        return BitMasks(torch.from_numpy(stacked))

    def _keypoints(
        self,
        record: ImageRecord,
        kept: npt.NDArray[np.int64],
        transforms: Sequence[Transform],
        size: Size,
    ) -> Tensor | None:
        if self.keypoint_flip is None:
            return None
        count = len(self.keypoint_flip)
        keypoints = record.keypoints
        if keypoints is None:
            keypoints = np.zeros((len(record), count, 3), dtype=np.float32)
        if keypoints.shape[1] != count:
            raise DatasetError(
                f"{record.path}: objects have {keypoints.shape[1]} keypoints but the model learns"
                f" {count}; set MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS to the data's number"
            )
        moved = transform_keypoints(transforms, keypoints[kept], size, self.keypoint_flip)
        return torch.from_numpy(moved)


def _bitmap(
    segmentation: Segmentation, transforms: Sequence[Transform], size: Size
) -> npt.NDArray[np.bool_]:
    """(H, W) bool."""
    if isinstance(segmentation, list):
        return rasterize(transform_polygons(transforms, segmentation), *size)
    labels = np.asarray(coco_mask.decode(segmentation), dtype=np.bool_)
    return np.ascontiguousarray(transform_labels(transforms, labels))


def _keypoint_flip(cfg: CfgNode) -> Sequence[int]:
    """Return the config's keypoint mirror; the identity if unknown (no image is mirrored then)."""
    mirror = keypoint_mirror(cfg)
    return range(cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS) if mirror is None else mirror.indices


def map_semantic(record: ImageRecord, transforms: Sequence[Transform]) -> Tensor | None:
    """(H, W) int64 class of every pixel from `extra["sem_seg_path"]`, or None."""
    path = record.extra.get("sem_seg_path")
    if path is None:
        return None
    labels = semantic_labels(record)
    if labels.shape != record.size:
        raise ImageError(
            f"{path}: the label map is {labels.shape[1]}x{labels.shape[0]} but its image"
            f" {record.width}x{record.height}; make them equal"
        )
    labels = transform_labels(transforms, labels)
    return torch.from_numpy(labels.astype(np.int64))


def semantic_labels(record: ImageRecord) -> npt.NDArray[Any]:
    """(H, W) class of every pixel, as the model numbers them; keeps values that are no class."""
    labels = read_labels(record.extra["sem_seg_path"])
    table = record.extra.get("sem_seg_table")
    if table is None:
        return labels
    highest = max(int(labels.max(initial=0)), len(table) - 1)
    whole = np.arange(highest + 1)
    whole[: len(table)] = table
    renumbered: npt.NDArray[Any] = whole[labels]
    return renumbered
