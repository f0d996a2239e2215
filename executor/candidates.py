"""The candidates: the images of mining or infer, as the candidate index names them."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from pathlib import Path
from typing import IO

from executor.dataset_reader import Asset
from executor.errors import DatasetError
from executor.index_lines import columns_of, index_error, index_lines
from executor.index_remarks import Remarks
from executor.novelty import Novelty

_RUN = 20_000
"""Number of paths that are in memory at once during sorting."""


class Candidates:
    """Each candidate once, sorted by its path as the index writes it; positions count from 0.

    Because of the sorting, results do not depend on the order of the index.
    Memory holds the byte at which each line starts (8 bytes an image); the lines stay on disk.
    """

    def __init__(self, path: Path | None) -> None:
        """Raise DatasetError if there is no index or it cannot be read; it may be empty."""
        if path is None:
            raise DatasetError("env.yaml: candidate_index_file is not set; nothing to work on")
        self._path = path
        self._starts = array("Q")
        is_sorted, before = True, ""
        novelty = Novelty(image for _, (image, _) in index_lines(path))
        remarks = Remarks(path)
        for start, (image, annotation) in index_lines(path, remarks=remarks):
            if novelty.is_new(image):
                self._starts.append(start)
                remarks.look_at(image, annotation)
                is_sorted, before = is_sorted and before < image, image
            else:
                remarks.num_duplicates += 1
        remarks.report()
        if not is_sorted:
            self._sort()

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Asset]:
        return self.at(range(len(self)))

    def at(self, positions: Iterable[int]) -> Iterator[Asset]:
        """The candidates at these positions, in any order."""
        try:
            with self._path.open("rb") as stream:
                for position in positions:
                    yield self._read(stream, self._starts[position])
        except OSError as error:
            raise index_error(self._path, error) from error

    def as_listed(self) -> Sequence[int]:
        """Positions in the order in which the index lists the candidates."""
        return array("Q", sorted(range(len(self)), key=self._starts.__getitem__))

    def _sort(self) -> None:
        try:
            with self._path.open("rb") as stream:

                def text(start: int) -> str:
                    return self._read(stream, start).image_text

                runs = [
                    array("Q", sorted(self._starts[first : first + _RUN], key=text))
                    for first in range(0, len(self), _RUN)
                ]
                self._starts = array("Q", merge(*runs, key=text))
        except OSError as error:
            raise index_error(self._path, error) from error

    def _read(self, stream: IO[bytes], start: int) -> Asset:
        stream.seek(start)
        columns = columns_of(stream.readline())
        assert columns is not None, "the index was changed during the run"
        return Asset(*columns, self._path.parent)
