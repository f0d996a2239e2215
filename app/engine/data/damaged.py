"""Training images that cannot be read although their headers could: each is counted once.

An image is met again in every epoch, and by then nobody remembers the warnings of the first.
"""

import logging
from collections.abc import Iterable

from app.engine.data.account import MAX_BROKEN_SHARE
from app.engine.data.problems import Effect, Problems
from app.engine.errors import DatasetError, printable

logger = logging.getLogger(__name__)

UNREADABLE = "unreadable image"
"""What a loader calls them."""


class DamagedImages(Problems):
    """The problems of a training's loaders, in which an unreadable image counts once.

    num_images  of the training set
    """

    def __init__(self, num_images: int) -> None:
        super().__init__()
        self._num_images = num_images
        self._met: dict[str, None] = {}

    def add(
        self, kind: str, example: str, effect: Effect = Effect.TOLD, *, remedy: str = ""
    ) -> bool:
        """See `Problems`. DatasetError once more than 5 % of the images (and more than one) are
        unreadable: the rule for files whose damage shows at the start."""
        if kind != UNREADABLE:
            return super().add(kind, example, effect, remedy=remedy)
        if example in self._met:
            return False
        self._met[example] = None
        if len(self._met) > max(MAX_BROKEN_SHARE * self._num_images, 1):
            raise DatasetError(
                f"training set: {len(self._met)} of {self._num_images} images, more than 5 %, have "
                f"turned out to be unreadable up to now, for example {printable(example)}; then "
                "start again with the same output folder to go on"
            )
        return super().add(kind, example, Effect.BROKEN, remedy=remedy)

    @property
    def met(self) -> list[str]:
        """A sentence for each unreadable image, in the order of their first appearance."""
        return list(self._met)

    def restore(self, met: Iterable[str]) -> None:
        """Go on with those of an interrupted run."""
        self._met |= dict.fromkeys(met)


def report_damage(met: Iterable[str], num_images: int) -> None:
    """One warning for the unreadable images that a training's processes have met, each once."""
    different = list(dict.fromkeys(met))
    if different:
        logger.warning(
            "training set: %d of %d images could not be read and others were taken in their place, "
            "for example %s",
            len(different),
            num_images,
            "; ".join(map(printable, different[:3])),
        )
