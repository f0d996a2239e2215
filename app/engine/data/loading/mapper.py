"""Make a sample (pixels, tensors) from a record (paths, boxes): read, transform, label.

H, W: size of the network's input
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from app.engine.config import CfgNode
from app.engine.data.images.depth import UNDECIDED, Depth
from app.engine.data.images.reading import Pixels, read_deep_image
from app.engine.data.loading.ground_truth import GroundTruthMapper, map_semantic
from app.engine.data.loading.image_reader import BYTE_FORMATS, ImageReader
from app.engine.data.transforms.augmentation import (
    Augmentation,
    draw,
    test_augmentations,
    train_augmentations,
)
from app.engine.data.transforms.keypoints import require_mirror
from app.engine.data.transforms.tile_crop import TileCrop
from app.engine.data.transforms.transform import Transform, transform_boxes, transform_pixels
from app.engine.errors import DatasetError, ImageError
from app.engine.structures.boxes import Size, clip, nonempty
from app.engine.structures.deep import Deep
from app.engine.structures.record import ImageRecord
from app.engine.structures.sample import Sample
from app.engine.structures.size import Resizing
from app.engine.structures.targets import Proposals
from app.engine.structures.tiles import TileGrid


class Mapper:
    """Record -> sample.

    augmentations  change the images; the size after them is the network's input size
    depth          the stored value of white in images with more than 8 bits
    proposal_topk  number of the best precomputed proposals that a sample gets; None for none
    ground_truth   makes the labels; None for samples without labels
    tile_crop      chooses the part of a large photograph, before the augmentations; None: no part
    """

    def __init__(
        self,
        augmentations: Sequence[Augmentation],
        *,
        image_format: str,
        depth: Depth = UNDECIDED,
        proposal_topk: int | None = None,
        ground_truth: GroundTruthMapper | None = None,
        tile_crop: TileCrop | None = None,
    ) -> None:
        self.augmentations = augmentations
        self.image_format = image_format
        self.depth = depth
        self.proposal_topk = proposal_topk
        self.ground_truth = ground_truth
        self.tile_crop = tile_crop

    def __call__(self, record: ImageRecord, rng: np.random.Generator | None = None) -> Sample:
        """Return the sample of a record; raises ImageError if the image cannot be used.

        rng  generator for the augmentations; a fixed one if None
        """
        pixels, deep = read_record_image(record, self.image_format, self.depth)
        transforms = self._transforms(record, rng or np.random.default_rng(0))
        image = image_tensor(transform_pixels(transforms, pixels))
        size = (image.shape[-2], image.shape[-1])
        return Sample(
            image,
            original_size=record.size,
            ground_truth=self.ground_truth(record, transforms, size) if self.ground_truth else None,
            proposals=map_proposals(record, transforms, size, self.proposal_topk),
            semantic=map_semantic(record, transforms) if self.ground_truth else None,
            image_id=record.image_id,
            deep=deep,
        )

    def _transforms(self, record: ImageRecord, rng: np.random.Generator) -> list[Transform]:
        crop = self.tile_crop.draw(record, rng) if self.tile_crop else []
        size = crop[0].size(record.size) if crop else record.size
        return [*crop, *draw(self.augmentations, size, rng)]


class TrainMapper(Mapper):
    """Record and random generator -> augmented sample with ground truth."""

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """Read the arguments from INPUT, MODEL and DATASETS."""
        if cfg.MODEL.KEYPOINT_ON and cfg.INPUT.RANDOM_FLIP == "horizontal":
            require_mirror(cfg, "INPUT.RANDOM_FLIP")
        return cls(
            train_augmentations(cfg),
            image_format=cfg.INPUT.FORMAT,
            depth=Depth.from_config(cfg),
            proposal_topk=_topk(cfg, "TRAIN"),
            ground_truth=GroundTruthMapper.from_config(cfg),
            tile_crop=TileCrop.from_config(cfg),
        )


class TestMapper(Mapper):
    """Record or pixels -> resized sample; with labels if losses on validation data are computed.

    A photograph that `grid` cuts is not resized. Losses are computed on a crop of it, always the
    same one.

    reader  reads files of bytes; None for YUV-BT.601, whose floats are resized otherwise
    """

    __test__ = False  # pytest would collect the class because of its name
    grid: TileGrid | None = None
    reader: ImageReader | None = None

    @classmethod
    def from_config(cls, cfg: CfgNode, *, with_ground_truth: bool = False) -> Self:
        """Read the arguments from INPUT."""
        mapper = cls(
            test_augmentations(cfg),
            image_format=cfg.INPUT.FORMAT,
            depth=Depth.from_config(cfg),
            proposal_topk=_topk(cfg, "TEST"),
            ground_truth=GroundTruthMapper.from_config(cfg) if with_ground_truth else None,
            tile_crop=TileCrop.from_config(cfg) if with_ground_truth else None,
        )
        mapper.grid = None if with_ground_truth else TileGrid.from_config(cfg)
        if cfg.INPUT.FORMAT in BYTE_FORMATS:
            resizing = Resizing.from_config(cfg)
            mapper.reader = ImageReader(cfg.INPUT.FORMAT, resizing, mapper.depth, mapper.grid)
        return mapper

    def __call__(self, record: ImageRecord, rng: np.random.Generator | None = None) -> Sample:
        """See `Mapper`."""
        if self.grid is None or not self.grid.cuts(record.size):
            return super().__call__(record, rng)
        pixels, deep = read_record_image(record, self.image_format, self.depth)
        return replace(_uncut(pixels, record.image_id), deep=deep)

    def from_file(self, path: Path) -> Sample:
        """The sample of an image file without a record; raises ImageError if it cannot be used."""
        if self.reader is None:
            pixels, deep = read_deep_image(path, self.image_format, self.depth)
            return replace(self.from_pixels(pixels, path.name), deep=deep)
        image = self.reader(path)
        return Sample(
            image_tensor(image.pixels),
            original_size=image.original_size,
            image_id=image.image_id,
            deep=image.deep,
            is_uncut=image.is_uncut,
        )

    def from_pixels(self, pixels: Pixels, image_id: int | str = 0) -> Sample:
        """The sample of an image in memory, (H, W, C) in the channel order of INPUT.FORMAT."""
        if self.grid is not None and self.grid.cuts((pixels.shape[0], pixels.shape[1])):
            return _uncut(pixels, image_id)
        return self.resized(pixels, image_id)

    def resized(self, pixels: Pixels, image_id: int | str = 0) -> Sample:
        """The sample of an image or tile in memory, which is not cut, whatever its size."""
        size = (pixels.shape[0], pixels.shape[1])
        transforms = draw(self.augmentations, size, np.random.default_rng(0))
        image = image_tensor(transform_pixels(transforms, pixels))
        return Sample(image, original_size=size, image_id=image_id)


def _uncut(pixels: Pixels, image_id: int | str) -> Sample:
    size = (pixels.shape[0], pixels.shape[1])
    return Sample(image_tensor(pixels), original_size=size, image_id=image_id, is_uncut=True)


def _topk(cfg: CfgNode, part: str) -> int | None:
    """Number of proposals of an image of TRAIN or TEST; None if the model makes its own."""
    if not cfg.MODEL.LOAD_PROPOSALS:
        return None
    return int(cfg.DATASETS[f"PRECOMPUTED_PROPOSAL_TOPK_{part}"])


def read_record_image(
    record: ImageRecord, image_format: str, depth: Depth
) -> tuple[Pixels, Deep | None]:
    """Return the pixels of the record's image, and their value range if they had more than 8 bits.

    Raises ImageError if the size is not the annotated size.
    """
    pixels, deep = read_deep_image(record.path, image_format, depth)
    size = (pixels.shape[0], pixels.shape[1])
    if size != record.size:
        raise ImageError(
            f"{record.path}: the image is {size[1]}x{size[0]} but its annotation says"
            f" {record.width}x{record.height}; correct the annotation"
        )
    return pixels, deep


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
    """The best `topk` of `extra["proposals"]` (boxes, logits; best first); None without topk."""
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
