"""Detection with an exported model through ONNX Runtime; torch is never imported.

N: images of a batch, R: objects of an image, S: side of small masks
"""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from app.engine.data.images.depth import Depth
from app.engine.data.images.reading import Pixels
from app.engine.data.loading.image_reader import ImageReader, ResizedImage, in_channel_order
from app.engine.errors import (
    CheckpointError,
    ConfigError,
    DoesNotFitError,
    ImageError,
    OutOfMemoryError,
    is_out_of_memory,
)
from app.engine.predictor.array_detections import ArrayDetections
from app.engine.predictor.batching import UNCUT, run_in_batches
from app.engine.predictor.onnx_card import OnnxCard
from app.engine.predictor.reading import read_files
from app.engine.predictor.streams import side_by_side
from app.engine.smaller_batches import in_batches
from app.engine.structures.size import Resizing, Size, padded_size
from app.engine.structures.tiles import TileGrid
from app.engine.tiles.collector import Collector, MergeRule, views
from common.text import first_line
from common.tile_limits import tile_faults

logger = logging.getLogger(__name__)

GROUP_IN_BATCHES = 4
"""Number of batches in a group of files, see `Predictor`."""


class OnnxPredictor:
    """Detects objects in images of any size; streams work as in `Predictor`.

    image_size  short side of resized images; 0: the value in the file
    device      cpu, or cuda:N if the GPU's libraries are installed
    tile_size   side of the tiles into which larger images are cut; 0: the value in the file
    tile_overlap  pixels that neighbouring tiles share at least; 0: the value in the file
    streams     images of files that are detected at once, each with its share of the threads: with
                2 on two cores, 6 % (fp32) and 17 % (int8) more small images per second than with 1
    """

    def __init__(
        self,
        path: Path,
        *,
        batch_size: int = 1,
        score_threshold: float | None = None,
        image_size: int = 0,
        tile_size: int = 0,
        tile_overlap: int = 0,
        boxes_only: bool = False,
        device: str = "cpu",
        streams: int = 1,
    ) -> None:
        assert batch_size == 1 or streams == 1
        self._session = open_session(path, device, threads=max(num_threads() // streams, 1))
        self._streams = streams
        self.card = OnnxCard.from_metadata(
            self._session.get_modelmeta().custom_metadata_map, str(path)
        )
        self.batch_size = batch_size
        self.group_size = GROUP_IN_BATCHES * batch_size
        self.num_classes = len(self.card.class_names)
        threshold = self.card.score_thresh if score_threshold is None else score_threshold
        self._threshold = np.float32(threshold)
        depth = Depth(self.card.bits_per_sample, self.card.float_white)
        resizing = _resizing(self.card, image_size, path)
        self.grid = _grid(self.card, tile_size, tile_overlap)
        self.reader = ImageReader(self.card.image_format, resizing, depth, self.grid)
        self._outputs = ["boxes", "scores", "classes"]
        if self.card.has_masks and not boxes_only:
            self._outputs.append("masks")

    @property
    def depth(self) -> Depth:
        """The value of white in images with more than 8 bits."""
        return self.reader.depth

    def detect(self, images: Sequence[Pixels]) -> list[ArrayDetections]:
        """Return the detections of images (H, W, 3) uint8 BGR, computed one by one."""
        ordered = (in_channel_order(image, self.card.image_format) for image in images)
        return [self.detect_batch([self.reader.from_pixels(image)])[0] for image in ordered]

    def detect_files(
        self, paths: Iterable[Path], *, num_workers: int = 0
    ) -> Iterator[tuple[Path, ArrayDetections | ImageError]]:
        """Yield each file's detections, or why there are none, in the order of `paths`."""
        images = read_files(paths, self.reader, num_workers=num_workers)

        def detect(batch: list[ResizedImage]) -> list[ArrayDetections | DoesNotFitError]:
            return list(in_batches(self, batch, self.detect_batch))

        with side_by_side(
            detect, self._streams, failed=lambda found: isinstance(found, DoesNotFitError)
        ) as submit:
            yield from run_in_batches(
                images,
                submit,
                bucket_of=lambda image: UNCUT if image.is_uncut else self.network_size(image),
                batch_size=lambda bucket: 1 if bucket == UNCUT else self.batch_size,
                window=GROUP_IN_BATCHES * self.batch_size,
                group=self.group_size,
                streams=self._streams,
            )

    def detect_batch(self, images: Sequence[ResizedImage]) -> list[ArrayDetections]:
        """Return the detections of images whose padded sizes are equal, or of one photograph."""
        if images[0].is_uncut:
            return [self._detect_by_tile(image) for image in images]
        found = self._session.run(self._outputs, self.inputs(images))
        return [
            ArrayDetections.from_row(image.original_size, *(output[row] for output in found))
            for row, image in enumerate(images)
        ]

    def _detect_by_tile(self, photograph: ResizedImage) -> ArrayDetections:
        """Return the merged detections of a photograph; one batch of tiles is in memory."""
        assert self.grid is not None
        rule = MergeRule(self.card.nms_thresh, self.card.max_detections)
        collector = Collector(self.grid, photograph.original_size, rule)
        remaining, inputs = iter(collector.views), self._tiles(photograph)
        while batch := list(islice(inputs, self.batch_size)):
            for found in in_batches(self, batch, self.detect_batch):
                if isinstance(found, DoesNotFitError):
                    raise found
                view = next(remaining)
                collector.add(view, found.boxes, found.scores, found.classes, found.masks)
        return ArrayDetections(collector.size, *collector.united())

    def example(self, path: Path) -> ResizedImage:
        """Return a network input of a file: the image or, of a photograph, its middle tile."""
        image = self.reader(path)
        if not image.is_uncut:
            return image
        tiles = list(self._tiles(image))
        return tiles[len(tiles) // 2]

    def _tiles(self, photograph: ResizedImage) -> Iterator[ResizedImage]:
        """Yield the network inputs of the tiles and, if asked for, of the whole picture."""
        assert self.grid is not None
        for view in views(self.grid, photograph.original_size):
            part = self.reader.resized(photograph.pixels[view.y0 : view.y1, view.x0 : view.x1])
            yield replace(part, image_id=photograph.image_id)

    def inputs(self, images: Sequence[ResizedImage]) -> dict[str, npt.NDArray[Any]]:
        """Return the inputs of the file's graph for a batch, padded with zeros."""
        height, width = self.network_size(images[0])
        channels = images[0].pixels.shape[2]
        batch = np.zeros((len(images), height, width, channels), dtype=np.uint8)
        for row, image in zip(batch, images, strict=True):
            row[: image.size[0], : image.size[1]] = image.pixels
        return {
            "images": batch,
            "sizes": np.array([image.size for image in images], dtype=np.int64),
            "original_sizes": np.array([i.original_size for i in images], dtype=np.int64),
            "score_threshold": np.asarray(self._threshold),
        }

    def network_size(self, image: ResizedImage) -> Size:
        """(height, width) of the padded network input."""
        return padded_size([image.size], self.card.size_divisibility)


def num_threads() -> int:
    """Return the number of threads that ONNX Runtime is given, for all streams together."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def open_session(path: Path, device: str, *, threads: int) -> Any:
    """Open a session of the file on a device; CheckpointError if that is impossible."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=_providers(device))
    except Exception as error:  # ONNX Runtime's errors have no common class
        if is_out_of_memory(error):
            raise OutOfMemoryError(
                f"{path}: memory is too small for this model ({first_line(error)}); choose a "
                "smaller one, or give the container or the device more memory"
            ) from error
        raise CheckpointError(
            f"{path}: ONNX Runtime cannot open this file on {device} ({first_line(error)}); "
            "export the model again, or use backend torch"
        ) from error


def _providers(device: str) -> list[Any]:
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return ["CPUExecutionProvider"]
    # TF32 is off because the export compared the file with float32 products. cuDNN does not search
    # for the best kernel because RetinaNet's box tower has a new shape in every image.
    options = {
        "device_id": int(number or 0),
        "use_tf32": 0,
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    return [("CUDAExecutionProvider", options), "CPUExecutionProvider"]


def _grid(card: OnnxCard, size: int, overlap: int) -> TileGrid | None:
    """Return the tiles of these settings, or those of the file where they are 0."""
    overlap = overlap or (0 if size else card.tile_overlap)
    size = size or card.tile_size
    for reason in tile_faults(size, overlap):
        raise ConfigError(f"tile_size {size}, tile_overlap {overlap}: {reason}")
    return TileGrid.of(size, overlap, whole_image=card.tile_whole_image)


def _resizing(card: OnnxCard, image_size: int, path: Path) -> Resizing:
    """Return the sizes for a short side of `image_size`, in the proportion of the card."""
    if card.fixed_size:
        height, width = card.fixed_size
        if image_size not in (0, min(height, width)):
            raise ConfigError(
                f"image_size {image_size}: {path} takes images of {width} x {height} pixels only;"
                " leave it out, or use the backend torch"
            )
        return Resizing(card.min_size, card.max_size, (height, width))
    if not image_size or not card.min_size:
        return Resizing(image_size or card.min_size, card.max_size)
    return Resizing(image_size, round(card.max_size * image_size / card.min_size))
