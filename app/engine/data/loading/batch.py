"""Picks to samples: one batch at a time, by a pure function that any process may run.

An image that cannot be used costs a sentence, never a run: training takes another one of the same
orientation in its place, inference goes without it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from app.engine.data.loading.lost import MAX_LOST_IN_A_ROW, LostImages
from app.engine.data.loading.mapper import Mapper
from app.engine.data.loading.packed import PackedRecords
from app.engine.data.loading.samplers import Pick
from app.engine.errors import DatasetError, DoesNotFitError, ImageError, StorageError
from app.engine.structures.sample import Sample

Batch = tuple[list[Sample], list[ImageError]]
"""Samples, and why each image that is missing among them could not be used."""


class MakeBatch(ABC):
    """Makes one batch; picklable and pure, so that any process may do it.

    banned  records that crash the process which reads them: not to be touched again
    """

    def __init__(self, mapper: Mapper, records: PackedRecords) -> None:
        self._mapper = mapper
        self._records = records
        self.banned: set[int] = set()

    @abstractmethod
    def __call__(self, picks: list[Pick]) -> Batch:
        """Samples for the picks."""

    def _sample(
        self, index: int, failures: list[ImageError], rng: np.random.Generator | None = None
    ) -> Sample | None:
        """The sample of one record; None, with the reason in `failures`, where there is none."""
        record = self._records[index]
        if index in self.banned:
            failures.append(
                ImageError(
                    f"{record.path}: reading it crashed a data worker twice; replace the file or"
                    " leave it out"
                )
            )
            return None
        try:
            return self._mapper(record, rng)
        except DoesNotFitError:
            raise  # going on without large images would be another training
        except ImageError as error:
            failures.append(error)
            return None


class TrainBatch(MakeBatch):
    """One sample for every pick; an unreadable image is replaced by one of its group."""

    def __init__(
        self, mapper: Mapper, records: PackedRecords, groups: Sequence[int], seed: int
    ) -> None:
        super().__init__(mapper, records)
        self._groups = groups
        self._seed = seed

    def __call__(self, picks: list[Pick]) -> Batch:
        """See `MakeBatch`."""
        failures: list[ImageError] = []
        return [self._replaced(*pick, failures) for pick in picks], failures

    def _replaced(self, position: int, index: int, failures: list[ImageError]) -> Sample:
        before = len(failures)
        for candidate in islice(self._neighbours(index), MAX_LOST_IN_A_ROW):
            rng = np.random.default_rng([self._seed, position])
            sample = self._sample(candidate, failures, rng)
            if sample is not None:
                return sample
        raise _none_in_a_row(failures[before:])

    def _neighbours(self, index: int) -> Iterator[int]:
        """`index`, then the following records of its group, around the list once."""
        count = len(self._records)
        around = ((index + step) % count for step in range(count))
        return (other for other in around if self._groups[other] == self._groups[index])


class TestBatch(MakeBatch):
    """At most one sample for every pick; images that cannot be read are missing."""

    __test__ = False  # not a test case, whatever pytest makes of its name

    def __call__(self, picks: list[Pick]) -> Batch:
        """See `MakeBatch`."""
        failures: list[ImageError] = []
        samples = (self._sample(index, failures) for _, index in picks)
        return [sample for sample in samples if sample is not None], failures


def _none_in_a_row(failures: Sequence[ImageError]) -> DatasetError:
    lost = LostImages(error for error in failures if isinstance(error, StorageError))
    if len(lost) == len(failures):
        return DatasetError(lost.told(f"{len(lost)} training images in a row"))
    return DatasetError(
        f"none of {len(failures)} training images in a row can be read (the last: {failures[-1]});"
        " check that the data is still there"
    )
