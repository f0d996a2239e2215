"""Images of mining and infer that cannot be read: how many, for which of two reasons, and too many.

What no decoder takes is the images' own fault: they stay without a result. What the storage does
not give may be there again tomorrow: such an image is never finished, and many of them mean that
something is wrong with the storage, not with the images.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from app.engine.data.problems import Problems
from app.engine.errors import ImageError, StorageError
from executor import errors as contract

logger = logging.getLogger(__name__)

MAX_LOST_SHARE = 0.05
MIN_IMAGES = 20
"""Of so many images or more, not more than this share may be lost to the storage."""

MAX_LOST_IN_A_ROW = 50

_UNREADABLE = "unreadable image"
_LOST = "image not given by its storage (no result yet, to be looked at again)"


class Unreadable:
    """The images of one pass that could not be read."""

    def __init__(self, num_images: int) -> None:
        """`num_images` are to be read in all, by this pass or earlier ones."""
        self._num_images = num_images
        self._problems = Problems()
        self._reasons: Counter[str] = Counter()
        self._lost_in_a_row = 0
        self._folder: Path | None = None

    @property
    def num_lost(self) -> int:
        """Images that the storage has not given."""
        return self._reasons.total()

    def note(self, image: Path, error: ImageError | None) -> None:
        """One more image: it was read (None), or why not.

        Raises the contract's ImageError once so many are lost that the storage must be at fault.
        """
        if not isinstance(error, StorageError):
            self._lost_in_a_row = 0
            if error is not None:
                self._problems.add(_UNREADABLE, str(error))
            return
        self._problems.add(_LOST, str(error))
        self._reasons[error.reason] += 1
        self._lost_in_a_row += 1
        self._folder = _common_folder(self._folder or image.parent, image.parent)
        if self._lost_in_a_row >= MAX_LOST_IN_A_ROW:
            raise self._verdict(f"{self._lost_in_a_row} images in a row")
        if self._num_images >= MIN_IMAGES and self.num_lost > MAX_LOST_SHARE * self._num_images:
            raise self._verdict(f"{self.num_lost:,} of {self._num_images:,} images")

    def require_any(self, num_read: int) -> None:
        """ImageError unless at least one image was read, by this pass or an earlier one."""
        if num_read or not self._num_images:
            return
        if self.num_lost:
            raise self._verdict(f"{self.num_lost:,} of {self._num_images:,} images")
        example = "; for example ".join(["", *self._problems.examples(_UNREADABLE)[:1]])
        raise contract.ImageError(f"none of {self._num_images:,} images can be read{example}")

    def report(self) -> None:
        """One warning for each kind, with examples."""
        self._problems.report(logger)

    def _verdict(self, share: str) -> contract.ImageError:
        reason, _ = self._reasons.most_common(1)[0]
        return contract.ImageError(
            f"{self._folder}: {share} cannot be read from this storage ({reason}); check what is"
            " mounted there and who may read it, then start again with the same /out: what is"
            " finished is kept"
        )


def _common_folder(a: Path, b: Path) -> Path:
    """The folder that holds both; where that says nothing, the second of them."""
    shared: Sequence[str] = ()
    for first, second in zip(a.parts, b.parts, strict=False):
        if first != second:
            break
        shared = (*shared, first)
    return Path(*shared) if len(shared) > 1 or a == b else b
