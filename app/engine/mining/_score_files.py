"""Streams files through a mining strategy, and adapts a predictor to the `MiningModel` protocol.

A file's score depends on its pixels, its name, the model and the seed; never on the other files,
their order, the batch size or the number of processes.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from app.engine.data.images.headers import image_size
from app.engine.errors import ConfigError, ImageError
from app.engine.mining._aggregate import empty_score
from app.engine.mining._strategy import Candidate, MiningOptions, Strategy
from app.engine.predictor import Predictor
from app.engine.structures.detections import Detections
from app.engine.structures.sample import Sample

NO_PIXELS = torch.empty(0, dtype=torch.uint8)


def score_stream(
    strategy: Strategy,
    predictor: Predictor | None,
    paths: Iterable[Path],
    *,
    num_workers: int,
    seed: int,
    options: MiningOptions,
) -> Iterator[tuple[Path, float | ImageError]]:
    """Do the work of `score_files` for a `Strategy`."""
    if not strategy.uses_model:
        return ((path, _score_by_name(path, strategy, seed, options)) for path in paths)
    assert predictor is not None, "this strategy looks through a model"
    model = PredictorAsMiningModel(predictor)
    in_tiles = PredictorAsMiningModel(predictor, are_uncut=True)
    if options.class_weights and len(options.class_weights) != model.num_classes:
        raise ConfigError(
            f"class_weights have {len(options.class_weights)} numbers for "
            f"{model.num_classes} classes; give one for each class"
        )

    def work(samples: list[Sample]) -> list[float]:
        if samples[0].is_uncut:
            return [of_photograph(sample) for sample in samples]
        candidates, scores = scored(samples)
        return [
            _filled(score, candidate, strategy, options)
            for score, candidate in zip(scores, candidates, strict=True)
        ]

    def scored(samples: list[Sample]) -> tuple[list[Candidate], list[float | None]]:
        # Views are computed on the model's device, which is much faster on a GPU.
        device = predictor.model.device
        candidates = [
            Candidate(sample.image.to(device), _seed(seed, str(sample.image_id)))
            for sample in samples
        ]
        return candidates, strategy.score(candidates, model, options)

    def of_photograph(sample: Sample) -> float:
        candidate = Candidate(sample.image, _seed(seed, str(sample.image_id)))
        if strategy.of_tiles is None:
            (score,) = strategy.score([candidate], in_tiles, options)
            return _filled(score, candidate, strategy, options)
        of_tiles = [score for batch in predictor.tiles(sample) for score in scored(batch)[1]]
        finite = [score for score in of_tiles if score is not None and math.isfinite(score)]
        score = strategy.of_tiles(finite) if finite else None
        return _filled(score, candidate, strategy, options)

    return predictor.map_files(paths, work, num_workers=num_workers)


def _score_by_name(
    path: Path, strategy: Strategy, seed: int, options: MiningOptions
) -> float | ImageError:
    try:
        # Read only the header: a file that is not an image must not be labelled.
        image_size(path)
    except ImageError as error:
        return error
    candidate = Candidate(NO_PIXELS, _seed(seed, path.name))
    (score,) = strategy.score([candidate], PredictorAsMiningModel(None), options)
    return _filled(score, candidate, strategy, options)


def _filled(
    score: float | None, candidate: Candidate, strategy: Strategy, options: MiningOptions
) -> float:
    # A model with broken weights returns NaN, which counts as no detection.
    if score is None or not math.isfinite(score):
        return empty_score(options.empty_policy, candidate.seed / 2**64, strategy.usual_range)
    return score


def _seed(seed: int, name: str) -> int:
    """Hash the run's seed and a file name, without its folder, into 64 bits."""
    # A name may hold bytes that are not UTF-8; `surrogateescape` keeps such names distinct.
    text = f"{seed}/{name}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


class PredictorAsMiningModel:
    """A `MiningModel` whose images already have the network's size and are not resized again.

    are_uncut  the images are photographs of their own size instead, and detections are sought in
               their tiles
    """

    def __init__(self, predictor: Predictor | None, *, are_uncut: bool = False) -> None:
        """`predictor` may be None for strategies that do not use the model."""
        self._given = predictor
        self._are_uncut = are_uncut
        if predictor is not None:
            predictor.model.keep_class_probs = True

    @property
    def _predictor(self) -> Predictor:
        assert self._given is not None, "asked a model that is not there"
        return self._given

    @property
    def num_classes(self) -> int:
        """Number of foreground classes."""
        return self._predictor.num_classes

    def detect(self, images: Sequence[Tensor]) -> list[Detections]:
        """Return detections with class probabilities, in the pixels of the given images."""
        return self._predictor.detect_samples(self._samples(images))

    def dense_class_probs(self, images: Sequence[Tensor]) -> list[list[Tensor]]:
        """Return the class maps of each image without the cells of the padding."""
        return self._predictor.run(self._samples(images), self._dense_class_probs)

    def _dense_class_probs(self, samples: list[Sample]) -> list[list[Tensor]]:
        with self._predictor.inference():
            levels = self._predictor.model.dense_class_probs(samples)
        height, width = self._predictor.network_size(samples[0])
        return [
            [
                level[row, :, : -(-h * level.shape[2] // height), : -(-w * level.shape[3] // width)]
                for level in levels
            ]
            for row, (h, w) in enumerate(sample.size for sample in samples)
        ]

    def _samples(self, images: Sequence[Tensor]) -> list[Sample]:
        return [
            Sample(image, (image.shape[-2], image.shape[-1]), is_uncut=self._are_uncut)
            for image in images
        ]
