"""Picks to samples: one batch at a time, by a pure function that any process may run.

An image that cannot be used costs a sentence, never a run: training takes another one of the same
orientation in its place, inference goes without it.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

import numpy as np

from app.engine.data.loading.lost import MAX_LOST_IN_A_ROW, LostImages
from app.engine.data.loading.mapper import TestMapper, TrainMapper
from app.engine.data.loading.packed import PackedRecords
from app.engine.data.loading.samplers import Pick
from app.engine.errors import DatasetError, DoesNotFitError, ImageError, StorageError
from app.engine.structures.sample import ImageRecord, Sample

Batch = tuple[list[Sample], list[ImageError]]
"""Samples, and why each image that is missing among them could not be used."""


class MakeBatch(Protocol):
    """Makes one batch; pure, so that any process may do it.

    banned  records that crash the process which reads them: not to be touched again
    """

    banned: set[int]

    def __call__(self, picks: list[Pick]) -> Batch:
        """Samples for the picks."""
        ...


class TrainBatch:
    """Makes one training batch; picklable, pure."""

    def __init__(
        self, mapper: TrainMapper, records: PackedRecords, groups: Sequence[int], seed: int
    ) -> None:
        self._mapper = mapper
        self._records = records
        self._groups = groups
        self._seed = seed
        self.banned: set[int] = set()

    def __call__(self, picks: list[Pick]) -> Batch:
        """One sample for every pick; an unreadable image is replaced by one of its group."""
        failures: list[ImageError] = []
        return [self._sample(*pick, failures) for pick in picks], failures

    def _sample(self, position: int, index: int, failures: list[ImageError]) -> Sample:
        before = len(failures)
        for candidate in islice(self._neighbours(index), MAX_LOST_IN_A_ROW):
            record = self._records[candidate]
            if candidate in self.banned:
                failures.append(_crashed(record))
                continue
            try:
                return self._mapper(record, np.random.default_rng([self._seed, position]))
            except DoesNotFitError:
                raise  # going on without large images would be another training
            except ImageError as error:
                failures.append(error)
        raise _none_in_a_row(failures[before:])

    def _neighbours(self, index: int) -> Iterator[int]:
        """`index`, then the following records of its group, around the list once."""
        count = len(self._records)
        group = self._groups[index]
        for step in range(count):
            candidate = (index + step) % count
            if self._groups[candidate] == group:
                yield candidate


class TestBatch:
    """Makes one inference batch; images that cannot be read are missing from it."""

    __test__ = False  # not a test case, whatever pytest makes of its name

    def __init__(self, mapper: TestMapper, records: PackedRecords) -> None:
        self._mapper = mapper
        self._records = records
        self.banned: set[int] = set()

    def __call__(self, picks: list[Pick]) -> Batch:
        """At most one sample for every pick."""
        samples: list[Sample] = []
        failures: list[ImageError] = []
        for _, index in picks:
            record = self._records[index]
            if index in self.banned:
                failures.append(_crashed(record))
                continue
            try:
                samples.append(self._mapper(record))
            except DoesNotFitError:
                raise
            except ImageError as error:
                failures.append(error)
        return samples, failures


def _crashed(record: ImageRecord) -> ImageError:
    return ImageError(
        f"{record.path}: reading it crashed a data worker twice; replace the file or leave it out"
    )


def _none_in_a_row(failures: Sequence[ImageError]) -> DatasetError:
    lost = LostImages(error for error in failures if isinstance(error, StorageError))
    if len(lost) == len(failures):
        return DatasetError(lost.told(f"{len(lost)} training images in a row"))
    return DatasetError(
        f"none of {len(failures)} training images in a row can be read (the last: {failures[-1]});"
        " check that the data is still there"
    )
