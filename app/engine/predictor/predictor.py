"""Batched detection with one model on one device.

Images are uint8 (H, W, 3) BGR, files have a format that `read_image` reads; detections are on the
CPU, in pixels of the image as displayed.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import torch

from app.engine.checkpoint.load import load_weights
from app.engine.config import CfgNode, num_classes
from app.engine.cpu.prepare import PRECISIONS as PRECISIONS
from app.engine.cpu.prepare import give_back_free_memory, prepare_for_inference
from app.engine.data.images.depth import Depth
from app.engine.data.images.reading import Pixels
from app.engine.data.loading.ahead import ahead
from app.engine.data.loading.image_reader import in_channel_order
from app.engine.data.loading.mapper import TestMapper
from app.engine.errors import ConfigError, DoesNotFitError, ImageError
from app.engine.layers.precision import autocast, set_float32_precision
from app.engine.modeling.build import build_blank_detector
from app.engine.modeling.detector import Detector
from app.engine.predictor.batching import UNCUT, run_in_batches
from app.engine.predictor.reading import read_files
from app.engine.predictor.streams import side_by_side
from app.engine.smaller_batches import in_batches
from app.engine.structures.boxes import Size
from app.engine.structures.detections import Detections, to_cpu
from app.engine.structures.sample import Sample
from app.engine.structures.size import padded_size
from app.engine.structures.tiles import TileGrid
from app.engine.tiles.tiled_detector import TiledDetector, tiled
from app.engine.tta import AugmentedDetector

T = TypeVar("T")

Work = Callable[[list[Sample]], Sequence[T]]
"""Returns one result for each sample of a batch."""

WINDOW_IN_BATCHES = 4
"""Largest number of images, in batches, that wait while batches of equal size fill."""

GROUP_IN_BATCHES = {"cpu": 4, "cuda": 16}
"""Batches in a group, by device: an interrupted run repeats a group, and buckets that are half full
at the end of a group cost a GPU more than a CPU."""


class Predictor:
    """Detects objects in images of any size; memory that runs out halves the batch.

    batch_size  largest number of images at once; shrinks when memory runs out
    streams     batches of files at once, on a CPU, each with its share of the threads
    group_size  files in a group; no batch has files of two groups, so that a stream of the same
                files that starts at any group has exactly the same results
    boxes_only  leave out masks and keypoints
    grid        the tiles into which large photographs are cut, or None
    """

    def __init__(
        self,
        model: Detector,
        cfg: CfgNode,
        *,
        batch_size: int = 1,
        streams: int = 1,
        precision: str = "fp32",
        boxes_only: bool = False,
        consume: bool = False,
    ) -> None:
        """Copy `model`, unless `consume` allows changing it.

        The predictor uses the views of TEST.AUG and the tiles of INPUT.TILES if they are enabled.
        """
        assert batch_size >= 1
        assert streams == 1 or model.device.type == "cpu"
        if cfg.MODEL.LOAD_PROPOSALS:
            raise ConfigError(
                "MODEL.LOAD_PROPOSALS: this model needs proposals computed beforehand and cannot "
                "look at new images; use a model with a proposal network of its own"
            )
        _check_precision(precision, model.device)
        set_float32_precision(cfg)
        self.model = prepare_for_inference(model, precision=precision, consume=consume)
        if cfg.TEST.AUG.ENABLED:
            self.model = AugmentedDetector.around(self.model, cfg)
        self.model = tiled(self.model, cfg, batch_size=batch_size)
        self.grid = TileGrid.from_config(cfg)
        self.num_classes = num_classes(cfg)
        self.batch_size = batch_size
        self.streams = streams
        self.group_size = GROUP_IN_BATCHES.get(model.device.type, 4) * batch_size * streams
        self.boxes_only = boxes_only
        self._dtype = PRECISIONS[precision]
        self._is_fresh = True
        self._mapper = TestMapper.from_config(cfg)

    @classmethod
    def from_files(
        cls,
        cfg: CfgNode,
        weights: Path,
        *,
        batch_size: int = 1,
        streams: int = 1,
        precision: str = "fp32",
        boxes_only: bool = False,
    ) -> Self:
        """Build the model of `cfg` with the weights of a file."""
        model = build_blank_detector(cfg)
        load_weights(model, weights).require_whole(cfg.MODEL.CLASS_NAMES)
        return cls(
            model,
            cfg,
            batch_size=batch_size,
            streams=streams,
            precision=precision,
            boxes_only=boxes_only,
            consume=True,
        )

    def detect(self, images: Sequence[Pixels]) -> list[Detections]:
        """Return each image's detections; DoesNotFitError if memory is too small for one image."""
        return self.detect_samples([self._sample(image) for image in images])

    def detect_files(
        self, paths: Iterable[Path], *, num_workers: int = 0
    ) -> Iterator[tuple[Path, Detections | ImageError]]:
        """Yield each file's detections, or why there are none, in the order of `paths`.

        Memory does not grow with the number of files. `num_workers` processes decode images.
        """
        return self.map_files(paths, self.detect_batch, num_workers=num_workers)

    def detect_samples(self, samples: Sequence[Sample]) -> list[Detections]:
        """Return detections of network inputs; boxes are in pixels of each `original_size`."""
        return self.run(samples, self.detect_batch)

    def detect_batch(self, samples: list[Sample]) -> list[Detections]:
        """Return detections of samples of equal padded size, without splitting the batch."""
        detect = self.model.detect_boxes if self.boxes_only else self.model.detect
        with self.inference():
            found = to_cpu(detect(samples))
        if self._is_fresh:
            self._is_fresh = False
            give_back_free_memory()
        return found

    def map_files(
        self,
        paths: Iterable[Path],
        work: Work[T],
        *,
        num_workers: int = 0,
    ) -> Iterator[tuple[Path, T | ImageError]]:
        """Apply `work` to batches of equally large files; yield each file's result, in order."""
        samples = read_files(paths, self._mapper.from_file, num_workers=num_workers)
        if self.model.device.type == "cuda":
            samples = ((path, _pinned(sample)) for path, sample in samples)
        if num_workers or self.model.device.type == "cuda":
            # A separate thread takes samples from the workers while the model computes.
            # A photograph that is to be cut is large: only one is made ready.
            samples = ahead(samples, depth=1 if self.grid else self.batch_size * self.streams)
        return self.map_samples(samples, work)

    def map_samples(
        self, samples: Iterable[tuple[Path, Sample | ImageError]], work: Work[T]
    ) -> Iterator[tuple[Path, T | ImageError]]:
        """Do the work of `map_files` for files that have been read."""

        def run(batch: list[Sample]) -> list[T | ImageError]:
            return list(in_batches(self, batch, work))

        with side_by_side(
            run,
            self.streams,
            begin=partial(torch.set_num_threads, max(torch.get_num_threads() // self.streams, 1)),
            failed=lambda result: isinstance(result, DoesNotFitError),
        ) as submit:
            yield from run_in_batches(
                samples,
                submit,
                bucket_of=self._bucket,
                batch_size=lambda bucket: 1 if bucket == UNCUT else self.batch_size,
                window=WINDOW_IN_BATCHES * self.batch_size * self.streams,
                group=self.group_size,
                streams=self.streams,
            )

    def run(self, samples: Sequence[Sample], work: Work[T]) -> list[T]:
        """Apply `work` to batches of equally large samples; return a result for each, in order."""
        buckets: dict[Hashable, list[int]] = {}
        for index, sample in enumerate(samples):
            buckets.setdefault(self._bucket(sample), []).append(index)
        results: dict[int, T] = {}
        for indices in buckets.values():
            batch = [samples[index] for index in indices]
            for index, result in zip(indices, in_batches(self, batch, work), strict=True):
                if isinstance(result, ImageError):
                    raise result
                results[index] = result
        return [results[index] for index in range(len(samples))]

    def tiles(self, photograph: Sample) -> Iterator[list[Sample]]:
        """Yield batches of the network inputs of a photograph that is to be cut."""
        assert isinstance(self.model, TiledDetector)
        return self.model.tiles(photograph)

    def network_size(self, sample: Sample) -> Size:
        """Return (height, width) of the padded network input."""
        return padded_size([sample.size], self.model.size_divisibility)

    def _bucket(self, sample: Sample) -> Hashable:
        """Return what the samples of a batch have in common; photographs to be cut come alone."""
        return UNCUT if sample.is_uncut else self.network_size(sample)

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Compute without gradients and in this predictor's precision inside the context."""
        lower = self._dtype if self._dtype != torch.float32 else None
        with torch.inference_mode(), autocast(self.model.device, lower):
            yield

    @property
    def depth(self) -> Depth:
        """The value of white in images with more than 8 bits."""
        return self._mapper.depth

    def _sample(self, image: Pixels) -> Sample:
        return self._mapper.from_pixels(in_channel_order(image, self._mapper.image_format))


def _pinned(sample: Sample | ImageError) -> Sample | ImageError:
    return sample if isinstance(sample, ImageError) else sample.pinned()


def _check_precision(precision: str, device: torch.device) -> None:
    if precision not in PRECISIONS:
        raise ConfigError(
            f"precision {precision!r} is unknown; choose one of {', '.join(PRECISIONS)}"
        )
    if precision == "fp16" and device.type == "cpu":
        raise ConfigError("precision fp16 needs a GPU; use bf16 or fp32 on this machine")
