"""Records in one block of bytes, so that forked workers share them without copying.

Memory pages of Python objects are copied as soon as reference counts change; this block's are not.
"""

import pickle
from collections.abc import Sequence
from typing import overload

import numpy as np

from app.engine.structures.record import ImageRecord


class PackedRecords(Sequence[ImageRecord]):
    """A read-only sequence of records; each access gives a fresh copy."""

    def __init__(self, records: Sequence[ImageRecord]) -> None:
        pickled = [pickle.dumps(record, protocol=pickle.HIGHEST_PROTOCOL) for record in records]
        self._ends = np.cumsum([len(data) for data in pickled], dtype=np.int64)
        self._block = np.frombuffer(b"".join(pickled), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> ImageRecord: ...

    @overload
    def __getitem__(self, index: slice) -> list[ImageRecord]: ...

    def __getitem__(self, index: int | slice) -> ImageRecord | list[ImageRecord]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        start = int(self._ends[index - 1]) if index else 0
        record: ImageRecord = pickle.loads(self._block.data[start : int(self._ends[index])])
        return record

    @property
    def nbytes(self) -> int:
        """Size of the block."""
        return self._block.nbytes
