"""From a record (paths, boxes) to a sample (pixels, tensors): read, transform, clip, filter.

G: objects, H and W: size of the network's input
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from app.engine.config import CfgNode
from app.engine.data.augmentation import Augmentation, ShortestEdge, draw, train_augmentations
from app.engine.data.deep import Depth
from app.engine.data.image import UNDECIDED, Pixels, check_format, read_image, read_labels
from app.engine.data.keypoints import keypoint_mirror, require_mirror, transform_keypoints
from app.engine.data.transforms import (
    Transform,
    transform_boxes,
    transform_labels,
    transform_pixels,
    transform_polygons,
)
from app.engine.errors import DatasetError, ImageError
from app.engine.structures.boxes import Size, clip, nonempty
from app.engine.structures.deep import Deep
from app.engine.structures.masks import BitMasks, Masks, PolygonMasks, rasterize
from app.engine.structures.sample import ImageRecord, Sample, Segmentation
from app.engine.structures.targets import GroundTruth, Proposals

_MIN_SIDE = 1e-5  # detectron2's threshold for boxes that a crop has cut away


class GroundTruthMapper:
    """The labels of a record in the coordinates of a transformed image.

    mask_format        "polygon", "bitmask", or "" for no masks
    keypoint_flip      index of each keypoint's mirror image, or None for no keypoints
    recompute_boxes    take boxes anew from the (cropped) masks
    """

    def __init__(
        self,
        *,
        mask_format: str = "",
        keypoint_flip: Sequence[int] | None = None,
        recompute_boxes: bool = False,
    ) -> None:
        assert mask_format or not recompute_boxes
        self.mask_format = mask_format
        self.keypoint_flip = keypoint_flip
        self.recompute_boxes = recompute_boxes

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """As MODEL and INPUT say."""
        cropped = cfg.INPUT.CROP.ENABLED or cfg.INPUT.RECOMPUTE_BOXES
        return cls(
            mask_format=cfg.INPUT.MASK_FORMAT if cfg.MODEL.MASK_ON else "",
            keypoint_flip=_keypoint_flip(cfg) if cfg.MODEL.KEYPOINT_ON else None,
            recompute_boxes=bool(cropped and cfg.MODEL.MASK_ON),
        )

    def __call__(
        self, record: ImageRecord, transforms: Sequence[Transform], size: Size
    ) -> GroundTruth:
        """Objects that are no crowd and still have an area (and a mask, if masks are asked for)."""
        kept = self._usable(record)
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

    def _usable(self, record: ImageRecord) -> npt.NDArray[np.int64]:
        usable = np.ones(len(record), dtype=np.bool_) if record.crowd is None else ~record.crowd
        if self.mask_format:
            masks = record.segmentations or [None] * len(record)
            usable &= np.array([bool(mask) for mask in masks], dtype=np.bool_)
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
    """As the config says; without a word nothing changes sides (and nothing may be mirrored)."""
    mirror = keypoint_mirror(cfg)
    return range(cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS) if mirror is None else mirror.indices


class TrainMapper:
    """Record and random generator -> sample with ground truth."""

    def __init__(
        self,
        augmentations: Sequence[Augmentation],
        ground_truth: GroundTruthMapper,
        *,
        image_format: str,
        depth: Depth = UNDECIDED,
        proposal_topk: int | None = None,
    ) -> None:
        check_format(image_format)
        self.augmentations = augmentations
        self.ground_truth = ground_truth
        self.image_format = image_format
        self.depth = depth
        self.proposal_topk = proposal_topk

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """As INPUT, MODEL and DATASETS say."""
        if cfg.MODEL.KEYPOINT_ON and cfg.INPUT.RANDOM_FLIP == "horizontal":
            require_mirror(cfg, "INPUT.RANDOM_FLIP")
        return cls(
            train_augmentations(cfg),
            GroundTruthMapper.from_config(cfg),
            image_format=cfg.INPUT.FORMAT,
            depth=Depth.from_config(cfg),
            proposal_topk=cfg.DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TRAIN
            if cfg.MODEL.LOAD_PROPOSALS
            else None,
        )

    def __call__(self, record: ImageRecord, rng: np.random.Generator) -> Sample:
        """One augmented sample; ImageError when the picture cannot be used."""
        pixels, deep = read_record_image(record, self.image_format, self.depth)
        transforms = draw(self.augmentations, record.size, rng)
        image = image_tensor(transform_pixels(transforms, pixels))
        size = (image.shape[-2], image.shape[-1])
        return Sample(
            image,
            original_size=record.size,
            ground_truth=self.ground_truth(record, transforms, size),
            proposals=map_proposals(record, transforms, size, self.proposal_topk),
            semantic=map_semantic(record, transforms),
            image_id=record.image_id,
            deep=deep,
        )


class TestMapper:
    """Record or pixels -> sample, resized and nothing else.

    ground_truth  adds labels, for losses on validation data
    """

    __test__ = False  # not a test case, whatever pytest makes of its name

    def __init__(
        self,
        resize: ShortestEdge,
        *,
        image_format: str,
        depth: Depth = UNDECIDED,
        proposal_topk: int | None = None,
        ground_truth: GroundTruthMapper | None = None,
    ) -> None:
        check_format(image_format)
        self.resize = resize
        self.image_format = image_format
        self.depth = depth
        self.proposal_topk = proposal_topk
        self.ground_truth = ground_truth

    @classmethod
    def from_config(cls, cfg: CfgNode, *, with_ground_truth: bool = False) -> Self:
        """As INPUT.*_TEST says."""
        return cls(
            ShortestEdge((cfg.INPUT.MIN_SIZE_TEST,), cfg.INPUT.MAX_SIZE_TEST),
            image_format=cfg.INPUT.FORMAT,
            depth=Depth.from_config(cfg),
            proposal_topk=cfg.DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TEST
            if cfg.MODEL.LOAD_PROPOSALS
            else None,
            ground_truth=GroundTruthMapper.from_config(cfg) if with_ground_truth else None,
        )

    def __call__(self, record: ImageRecord) -> Sample:
        """The sample of a record; ImageError when the picture cannot be used."""
        pixels, deep = read_record_image(record, self.image_format, self.depth)
        transforms = self._transforms(record.size)
        image = image_tensor(transform_pixels(transforms, pixels))
        size = (image.shape[-2], image.shape[-1])
        labelled = self.ground_truth is not None
        return Sample(
            image,
            original_size=record.size,
            ground_truth=self.ground_truth(record, transforms, size) if self.ground_truth else None,
            proposals=map_proposals(record, transforms, size, self.proposal_topk),
            semantic=map_semantic(record, transforms) if labelled else None,
            image_id=record.image_id,
            deep=deep,
        )

    def from_file(self, path: Path) -> Sample:
        """The sample of an image that no record describes; ImageError when it cannot be used."""
        met: list[Deep] = []
        pixels = read_image(path, self.image_format, self.depth, met)
        return replace(self.from_pixels(pixels, path.name), deep=met[0] if met else None)

    def from_pixels(self, pixels: Pixels, image_id: int | str = 0) -> Sample:
        """The sample of an image in memory, (H, W, C) in the channel order of INPUT.FORMAT."""
        size = (pixels.shape[0], pixels.shape[1])
        image = image_tensor(transform_pixels(self._transforms(size), pixels))
        return Sample(image, original_size=size, image_id=image_id)

    def _transforms(self, size: Size) -> list[Transform]:
        return self.resize.draw(size, np.random.default_rng(0))


def read_record_image(
    record: ImageRecord, image_format: str, depth: Depth
) -> tuple[Pixels, Deep | None]:
    """Pixels of the record's image, and what was met in them if they had more than 8 bits.

    ImageError when their size is not the annotated one.
    """
    met: list[Deep] = []
    pixels = read_image(record.path, image_format, depth, met)
    size = (pixels.shape[0], pixels.shape[1])
    if size != record.size:
        raise ImageError(
            f"{record.path}: the image is {size[1]}x{size[0]} but its annotation says"
            f" {record.width}x{record.height}; correct the annotation"
        )
    return pixels, met[0] if met else None


def image_tensor(pixels: Pixels) -> Tensor:
    """(H, W, C) -> (C, H, W) view in channels-last memory; float64 becomes float32."""
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float32)
    pixels = np.ascontiguousarray(pixels)
    if not pixels.flags.writeable:
        pixels = pixels.copy()
    return torch.from_numpy(pixels).permute(2, 0, 1)


def map_proposals(
    record: ImageRecord, transforms: Sequence[Transform], size: Size, topk: int | None
) -> Proposals | None:
    """Best `topk` of `extra["proposals"]` (boxes, logits; best first); None without topk."""
    if topk is None:
        return None
    found: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = record.extra.get("proposals")
    if found is None:
        raise DatasetError(
            f"{record.path}: no precomputed proposals; give a file for every data set in"
            " DATASETS.PROPOSAL_FILES_TRAIN and _TEST"
        )
    boxes = torch.from_numpy(transform_boxes(transforms, found[0]))
    boxes = clip(boxes, size).float()
    kept = nonempty(boxes).nonzero()[:topk, 0]
    logits = torch.from_numpy(found[1].astype(np.float32))
    return Proposals(size, boxes[kept], logits[kept])


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
    """(H, W) class of every pixel as the model numbers them; values of no class are kept."""
    labels = read_labels(record.extra["sem_seg_path"])
    table = record.extra.get("sem_seg_table")
    if table is None:
        return labels
    highest = max(int(labels.max(initial=0)), len(table) - 1)
    whole = np.arange(highest + 1)
    whole[: len(table)] = table
    renumbered: npt.NDArray[Any] = whole[labels]
    return renumbered
