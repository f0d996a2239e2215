"""Images of mining and infer that cannot be read: counts, reasons and limits.

An image that no decoder reads is damaged and stays without a result. An image that the storage does
not return may be readable later: it stays open, and many such images mean that the storage has a
fault. An image that does not fit into memory stays open too; if none fits, memory is too small for
the task.
"""

import logging

from app.engine.data.loading.lost import MAX_LOST_IN_A_ROW, MAX_LOST_SHARE, LostImages
from app.engine.data.problems import Problems
from app.engine.errors import DoesNotFitError, ImageError, StorageError
from executor import errors as contract

logger = logging.getLogger(__name__)

MIN_IMAGES = 20
"""With fewer images, the share of lost images has no limit, unless none can be read."""

ENOUGH_TOO_LARGE = 50
"""If the first images, this many, do not fit into memory, no other is tried."""

_UNREADABLE = "unreadable image"
_LOST = "image not given by its storage (no result yet, to be looked at again)"
_TOO_LARGE = "image that memory is too small for (no result yet, to be looked at again)"


class Unreadable:
    """The images of one pass that could not be read."""

    def __init__(self, num_images: int, *, any_earlier: bool = False) -> None:
        """Count for `num_images` in total; `any_earlier`: an earlier run has read some of them."""
        self._num_images = num_images
        self._any_fits = any_earlier
        self._problems = Problems()
        self._lost = LostImages()
        self._lost_in_a_row = 0

    def note(self, error: ImageError | None) -> None:
        """Count one more image; `error` is None if it was read.

        Raises the contract's ImageError if so many are lost that the storage must be at fault, and
        its OutOfMemoryError if so many do not fit that no other will.
        """
        if isinstance(error, StorageError):
            self._note_lost(error)
            return
        self._lost_in_a_row = 0
        if error is None:
            self._any_fits = True
        elif isinstance(error, DoesNotFitError):
            self._problems.add(_TOO_LARGE, str(error))
            if not self._any_fits and self._num_too_large >= ENOUGH_TOO_LARGE:
                raise self._too_large("any of the first")
        else:
            self._problems.add(_UNREADABLE, str(error))

    def _note_lost(self, error: StorageError) -> None:
        self._problems.add(_LOST, str(error))
        self._lost.add(error)
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= MAX_LOST_IN_A_ROW:
            raise self._verdict(f"the last {self._lost_in_a_row} images")
        if self._num_images >= MIN_IMAGES and len(self._lost) > MAX_LOST_SHARE * self._num_images:
            raise self._verdict(f"{len(self._lost):,} of {self._num_images:,} images")

    def require_any(self, num_read: int) -> None:
        """Raise ImageError or OutOfMemoryError if `num_read`, over all passes, is 0."""
        if num_read or not self._num_images:
            return
        if self._num_too_large:
            raise self._too_large("any of")
        if len(self._lost):
            raise self._verdict(f"{len(self._lost):,} of {self._num_images:,} images")
        example = "; for example ".join(["", *self._problems.examples(_UNREADABLE)[:1]])
        raise contract.ImageError(f"none of {self._num_images:,} images can be read{example}")

    def report(self) -> None:
        """Log one warning for each kind, with examples."""
        self._problems.report(logger)

    @property
    def _num_too_large(self) -> int:
        return self._problems.counts.get(_TOO_LARGE, 0)

    def _too_large(self, which: str) -> contract.OutOfMemoryError:
        example = self._problems.examples(_TOO_LARGE)[0]
        return contract.OutOfMemoryError(
            f"memory is too small for {which} {self._num_too_large:,} images, even alone (for"
            f" example {example}); use a smaller image_size, fewer num_workers, or give the"
            " container or the device more memory"
        )

    def _verdict(self, which: str) -> contract.ImageError:
        return contract.ImageError(
            f"{self._lost.told(which)} with the same /out: what is finished is kept"
        )
