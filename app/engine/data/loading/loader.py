"""Batches of samples for training (endless, shuffled) and for inference (each image once).

The content of a batch depends on the seed and on its position in the stream only, not on the number
of workers or on where a run was interrupted. `skip_batches` replays indices and reads no images.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Container, Generator, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from multiprocessing.util import is_exiting

import torch

from app.engine.config import CfgNode
from app.engine.data.datasets.filters import usable_for_training
from app.engine.data.loading.ahead import ahead
from app.engine.data.loading.batch import Batch, MakeBatch, TestBatch, TrainBatch
from app.engine.data.loading.lost import MAX_LOST_SHARE, LostImages
from app.engine.data.loading.mapper import TestMapper, TrainMapper
from app.engine.data.loading.packed import PackedRecords
from app.engine.data.loading.samplers import (
    Pick,
    batches,
    crops_of_a_pass,
    inference_shard,
    picks_of_rank,
    train_stream,
)
from app.engine.data.loading.worker_pool import WorkerDiedError, WorkerPool
from app.engine.data.problems import Problems
from app.engine.errors import ConfigError, DatasetError, ImageError, StorageError
from app.engine.structures.record import ImageRecord
from app.engine.structures.sample import Sample

logger = logging.getLogger(__name__)

UNREADABLE = "unreadable image"
LOST = "image not given by its storage"
CLIPPED = "image with values beyond white or black"
"""Kinds of `Loader.problems`."""

_BATCHES_AHEAD = 2  # batches queued at each worker, so that it works while one is fetched


class Loader:
    """Iterable of batches, made in this process or by workers; each iteration starts anew.

    problems     counts of the images so far that could not be read, or whose values were clipped
    num_batches  number of batches; None for an endless loader
    pass_length  number of images in one pass over the records; iterating raises DatasetError once
                 more than 5 % of them (and more than one) cannot be read from their storage
    """

    def __init__(
        self,
        make_batch: MakeBatch,
        plan: Callable[[], Iterator[list[Pick]]],
        *,
        num_workers: int,
        skip_batches: int = 0,
        num_batches: int | None = None,
        pin_memory: bool = False,
        pass_length: float = math.inf,
    ) -> None:
        self.problems = Problems()
        self.num_batches = num_batches
        self._make_batch = make_batch
        self._plan = plan
        self._num_workers = num_workers
        self._skip = skip_batches
        self._pin = pin_memory
        self._pass_length = pass_length
        self._in_pass = 0
        self._lost: dict[str, StorageError] = {}

    def __iter__(self) -> Generator[list[Sample]]:
        made = self._recovering()
        return ahead(map(_pinned, made)) if self._pin else made

    def __len__(self) -> int:
        if self.num_batches is None:
            raise TypeError("a training loader has no end")
        return max(self.num_batches - self._skip, 0)

    def _picks(self, done: int) -> Iterator[list[Pick]]:
        return islice(self._plan(), self._skip + done, None)

    def _recovering(self) -> Generator[list[Sample]]:
        """Yield batches; if workers die, go on with fewer and without images that crash them."""
        done, workers, suspect, deaths = 0, self._num_workers, -1, 0
        while workers > 0:
            pool = WorkerPool(self._make_batch, workers)
            workers = len(pool)
            if not workers:
                break
            try:
                for batch in _in_order(pool, self._picks(done)):
                    done += 1
                    yield self._checked(batch)
                return
            except WorkerDiedError as error:
                if is_exiting():
                    return
                logger.warning("%s", error)
            finally:
                pool.close()
            if suspect != done or not self._ban_killers(next(self._picks(done))):
                deaths += 1
                workers = max(workers // 2, 1) if deaths == 1 else 0
            suspect = done
            logger.warning("continuing with %d data workers", workers)
        for picks in self._picks(done):
            yield self._checked(self._make_batch(picks))

    def _ban_killers(self, picks: list[Pick]) -> bool:
        """Make a batch's samples one by one, ban those that crash a worker; return if any did."""
        banned = set(self._make_batch.banned)
        for pick in picks:
            pool = WorkerPool(self._make_batch, 1)
            if not len(pool):
                break
            try:
                pool.submit(0, [pick])
                pool.receive(0)
            except WorkerDiedError:
                self._make_batch.banned.add(pick[1])
            finally:
                pool.close()
        return self._make_batch.banned > banned

    def _checked(self, batch: Batch) -> list[Sample]:
        samples, failures = batch
        for sample in samples:
            if sample.deep is not None and sample.deep.num_outside:
                example = f"{sample.image_id}: {sample.deep.outside}"
                if self.problems.add(CLIPPED, example):
                    logger.warning("%s", example)
        for error in failures:
            kind = LOST if isinstance(error, StorageError) else UNREADABLE
            if self.problems.add(kind, str(error)):
                logger.warning("%s", error)
        self._watch_storage(len(samples), failures)
        return samples

    def _watch_storage(self, num_read: int, failures: Sequence[ImageError]) -> None:
        """Raise DatasetError if too many images of one pass cannot be read from their storage."""
        self._in_pass += num_read
        if self._in_pass > self._pass_length:
            self._in_pass = num_read
            self._lost.clear()
        self._lost |= {error.place: error for error in failures if isinstance(error, StorageError)}
        if len(self._lost) > max(MAX_LOST_SHARE * self._pass_length, 1):
            lost = LostImages(self._lost.values())
            raise DatasetError(lost.told(f"{len(lost):,} of {self._pass_length:,} images"))


def _in_order(pool: WorkerPool[list[Pick], Batch], plan: Iterator[list[Pick]]) -> Iterator[Batch]:
    """Yield answers in the order of `plan`; worker k mod n makes batch k."""
    waiting: deque[int] = deque()
    for number, picks in enumerate(plan):
        worker = number % len(pool)
        if len(waiting) >= _BATCHES_AHEAD * len(pool):
            yield pool.receive(waiting.popleft())
        # `receive` raises for a dead worker, and only then is the batch known that killed it.
        with suppress(WorkerDiedError):
            pool.submit(worker, picks)
        waiting.append(worker)
    while waiting:
        yield pool.receive(waiting.popleft())


def build_train_loader(
    cfg: CfgNode,
    records: Sequence[ImageRecord],
    *,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
    skip_batches: int = 0,
    num_workers: int | None = None,
) -> Loader:
    """Return a loader of endless batches with this rank's share of IMS_PER_BATCH images.

    seed           not negative; the same on every rank
    skip_batches   batches (of this rank) that an interrupted run has already used
    num_workers    DATALOADER.NUM_WORKERS when None
    """
    batch_size, rest = divmod(cfg.SOLVER.IMS_PER_BATCH, world_size)
    if rest or not batch_size:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH is {cfg.SOLVER.IMS_PER_BATCH}, which {world_size} processes"
            f" cannot share evenly; use a multiple of {world_size}"
        )
    records = usable_for_training(cfg, records)
    groups = _orientations(cfg, records)
    owners = crops_of_a_pass(cfg, records)

    def plan() -> Iterator[list[Pick]]:
        crops = train_stream(cfg, [records[owner] for owner in owners], seed=seed)
        stream = (owners[crop] for crop in crops)
        return batches(picks_of_rank(stream, rank=rank, world_size=world_size), batch_size, groups)

    mapper = TrainMapper.from_config(cfg)
    return Loader(
        TrainBatch(mapper, PackedRecords(records), groups, seed),
        plan,
        num_workers=cfg.DATALOADER.NUM_WORKERS if num_workers is None else num_workers,
        skip_batches=skip_batches,
        pin_memory=_on_gpu(cfg),
        pass_length=math.ceil(len(records) / world_size),
    )


def build_test_loader(
    cfg: CfgNode,
    records: Sequence[ImageRecord],
    *,
    batch_size: int = 1,
    rank: int = 0,
    world_size: int = 1,
    num_workers: int | None = None,
    with_ground_truth: bool = False,
) -> Loader:
    """Return a loader of this rank's contiguous share of the records, in order, each once.

    Images that cannot be read are left out of their batch, which may be empty; `Loader.problems`
    counts them.
    """
    shard = inference_shard(len(records), rank=rank, world_size=world_size)
    mapper = TestMapper.from_config(cfg, with_ground_truth=with_ground_truth)
    planned = _test_batches(shard, batch_size, alone=_uncut(mapper, records))

    def plan() -> Iterator[list[Pick]]:
        return ([(index, index) for index in batch] for batch in planned)

    return Loader(
        TestBatch(mapper, PackedRecords(records)),
        plan,
        num_workers=cfg.DATALOADER.NUM_WORKERS if num_workers is None else num_workers,
        num_batches=len(planned),
        pin_memory=_on_gpu(cfg),
        pass_length=len(shard),
    )


def _uncut(mapper: TestMapper, records: Sequence[ImageRecord]) -> set[int]:
    """Return the indices of the photographs whose samples are large, since they are cut later."""
    grid = mapper.grid
    return set() if grid is None else {i for i, r in enumerate(records) if grid.cuts(r.size)}


def _test_batches(
    indices: Sequence[int], batch_size: int, *, alone: Container[int]
) -> list[list[int]]:
    """Return batches of neighbours in order; those in `alone` have batches of their own."""
    batches: list[list[int]] = []
    for index in indices:
        before = batches[-1] if batches else []
        fits = 0 < len(before) < batch_size and before[-1] not in alone and index not in alone
        if fits:
            before.append(index)
        else:
            batches.append([index])
    return batches


def _orientations(cfg: CfgNode, records: Sequence[ImageRecord]) -> bytes:
    """Group of every record: 1 for landscape, 0 for the rest; all 0 without grouping."""
    if not cfg.DATALOADER.ASPECT_RATIO_GROUPING:
        return bytes(len(records))
    return bytes(int(record.width > record.height) for record in records)


def _on_gpu(cfg: CfgNode) -> bool:
    return str(cfg.MODEL.DEVICE).startswith("cuda") and torch.cuda.is_available()


def _pinned(samples: list[Sample]) -> list[Sample]:
    return [sample.pinned() for sample in samples]
