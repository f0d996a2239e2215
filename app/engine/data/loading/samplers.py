"""The order in which images are visited: infinite streams of indices, and batches of them.

Every stream is a pure function of its seed. A training run resumes by replaying the stream, without
reading images. A pick is (position in the stream, index of the record); the position is global, so
the random numbers drawn for it do not depend on the number of processes.
"""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from app.engine.config import CfgNode
from app.engine.errors import ConfigError
from app.engine.structures.record import ImageRecord
from app.engine.structures.tiles import TileGrid

logger = logging.getLogger(__name__)

Pick = tuple[int, int]
"""(position in the stream, index of the record)."""


def shuffled(size: int, *, seed: int) -> Iterator[int]:
    """Yield permutations of 0..size - 1, one after the other, without end."""
    generator = _generator(seed)
    while True:
        yield from torch.randperm(size, generator=generator).tolist()


def shuffled_subset(size: int, ratio: float, *, seed: int) -> Iterator[int]:
    """Yield permutations of a fixed random share (`ratio`) of the indices, without end."""
    chosen = torch.randperm(size, generator=_generator(seed))[: max(int(size * ratio), 1)]
    logger.info("training on a random subset: %d of %d images", len(chosen), size)
    generator = _generator(seed)
    while True:
        yield from chosen[torch.randperm(len(chosen), generator=generator)].tolist()


def repeated(factors: Tensor, *, seed: int) -> Iterator[int]:
    """Yield shuffled epochs without end; index i appears `factors[i]` (N,) times in one on average.

    The fraction of a factor is the chance of one more time (https://arxiv.org/abs/1908.03195).
    """
    generator = _generator(seed)
    whole = torch.trunc(factors)
    while True:
        more = torch.rand(len(factors), generator=generator) < factors - whole
        times = (whole + more.float()).long()
        indices = torch.repeat_interleave(torch.arange(len(factors)), times)
        yield from indices[torch.randperm(len(indices), generator=generator)].tolist()


def repeat_factors(
    classes: Sequence[Iterable[int]], threshold: float, *, root: bool = True
) -> Tensor:
    """How often each image is repeated so that rare classes are seen: (N,) float32, at least 1.

    classes    class numbers in each image
    threshold  classes in a smaller share of the images are rare
    root       repeat by the square root of threshold / share
    """
    counts = Counter(c for image in classes for c in set(image))
    ratios = {c: threshold * len(classes) / count for c, count in counts.items()}
    factors = {c: max(1.0, math.sqrt(r) if root else r) for c, r in ratios.items()}
    images = [max((factors[c] for c in image), default=1.0) for image in classes]
    return torch.tensor(images, dtype=torch.float32)


def crops_of_a_pass(cfg: CfgNode, records: Sequence[ImageRecord]) -> list[int]:
    """Return the index of each record, that of a photograph once for each tile of its area.

    So a large photograph is looked at as often as a set of small images that show the same.
    """
    grid = TileGrid.from_config(cfg)
    if grid is None:
        return list(range(len(records)))
    return [i for i, record in enumerate(records) for _ in range(grid.num_parts(record.size))]


def train_stream(cfg: CfgNode, records: Sequence[ImageRecord], *, seed: int) -> Iterator[int]:
    """Return the stream of the sampler that DATALOADER.SAMPLER_TRAIN names."""
    loader = cfg.DATALOADER
    name = loader.SAMPLER_TRAIN
    if name == "TrainingSampler":
        return shuffled(len(records), seed=seed)
    if name == "RandomSubsetTrainingSampler":
        return shuffled_subset(len(records), loader.RANDOM_SUBSET_RATIO, seed=seed)
    if name == "RepeatFactorTrainingSampler":
        classes = [record.classes.tolist() for record in records]
        factors = repeat_factors(classes, loader.REPEAT_THRESHOLD, root=loader.REPEAT_SQRT)
        return repeated(factors, seed=seed)
    assert name == "WeightedTrainingSampler"
    return repeated(_weights(records, cfg.DATASETS.TRAIN_REPEAT_FACTOR), seed=seed)


def _weights(records: Sequence[ImageRecord], factors: Sequence[tuple[str, float]]) -> Tensor:
    """The factor of each record's data set (`extra["dataset"]`); 1 if none is given."""
    by_name = {name: float(factor) for name, factor in factors}
    known = {record.extra.get("dataset") for record in records}
    if unknown := sorted(by_name.keys() - known):
        raise ConfigError(
            f"DATASETS.TRAIN_REPEAT_FACTOR names {unknown[0]!r}, which is not among the training"
            " data sets; remove it or correct the name"
        )
    return torch.tensor([by_name.get(r.extra.get("dataset", ""), 1.0) for r in records])


def picks_of_rank(stream: Iterator[int], *, rank: int, world_size: int) -> Iterator[Pick]:
    """Every `world_size`-th element of the stream, with its position in the stream."""
    return islice(enumerate(stream), rank, None, world_size)


def batches(picks: Iterable[Pick], batch_size: int, groups: Sequence[int]) -> Iterator[list[Pick]]:
    """Yield batches whose records all belong to one group, each as soon as it is full.

    groups  number of each record's group, such as landscape or portrait
    """
    waiting: dict[int, list[Pick]] = {}
    for pick in picks:
        bucket = waiting.setdefault(groups[pick[1]], [])
        bucket.append(pick)
        if len(bucket) == batch_size:
            yield list(bucket)
            bucket.clear()


def inference_shard(size: int, *, rank: int, world_size: int) -> range:
    """This rank's contiguous share of 0..size - 1; the first size mod world_size get one more."""
    share, left = divmod(size, world_size)
    start = rank * share + min(rank, left)
    return range(start, start + share + (rank < left))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
