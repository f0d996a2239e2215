"""Make the samples of one batch from its picks, by a pure function that any process may run.

An image that cannot be used is reported and does not end the run: training replaces it by another
image of the same orientation, inference leaves it out.
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
"""Samples, and an error for each image that could not be used."""


class MakeBatch(ABC):
    """Makes one batch; picklable and pure, so that any process may call it.

    banned  indices of records that crash the process that reads them; they are not read again
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
        """Return the sample of one record; on an error append it to `failures` and return None."""
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
            raise  # a training without its large images would have other results
        except ImageError as error:
            failures.append(error)
            return None


class TrainBatch(MakeBatch):
    """Makes one sample for every pick; replaces an unreadable image by another of its group."""

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
        """Yield `index`, then the following records of its group, once around the list."""
        count = len(self._records)
        around = ((index + step) % count for step in range(count))
        return (other for other in around if self._groups[other] == self._groups[index])


class TestBatch(MakeBatch):
    """Makes at most one sample for every pick; leaves out images that cannot be read."""

    __test__ = False  # pytest would collect the class because of its name

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
