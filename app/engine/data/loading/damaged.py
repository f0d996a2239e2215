"""Count images whose damage shows only when they are decoded, each of them once.

Every epoch decodes an image again, and the warnings of the first epoch are far up in the log.
"""

import logging
from collections.abc import Iterable, Mapping

from app.engine.data.datasets.account import too_many_broken
from app.engine.data.loading.loader import CLIPPED, LOST, UNREADABLE
from app.engine.data.problems import Effect, Problems
from app.engine.errors import DatasetError
from common.text import printable

logger = logging.getLogger(__name__)

Met = Mapping[str, Iterable[str]]
"""Kind of problem -> a sentence for each image with it, in the order of first appearance."""

_TOLD = {
    UNREADABLE: "could not be read and others were taken in their place",
    LOST: "were not given by their storage at times and others were taken in their place",
    CLIPPED: "have values beyond white or black, which were clipped",
}


class MetImages(Problems):
    """The problems of a data set's loaders, in which an image counts once for each kind."""

    def __init__(self) -> None:
        super().__init__()
        self._met: dict[str, dict[str, None]] = {}

    def add(
        self, kind: str, example: str, effect: Effect = Effect.TOLD, *, remedy: str = ""
    ) -> bool:
        """See `Problems`; returns False for an example that was counted before."""
        met = self._met.setdefault(kind, {})
        if example in met:
            return False
        met[example] = None
        return super().add(kind, example, effect, remedy=remedy)

    def met(self, *kinds: str) -> dict[str, list[str]]:
        """See `Met`: the problems of these kinds, or of all kinds if none is given."""
        return {kind: list(self._met.get(kind, ())) for kind in kinds or self._met}

    def restore(self, met: Met) -> None:
        """Add the problems that an interrupted run has counted."""
        for kind, sentences in met.items():
            self._met.setdefault(kind, {}).update(dict.fromkeys(sentences))


class DamagedImages(MetImages):
    """The problems of a training set; too many unreadable images end the training.

    num_images  number of images in the training set
    """

    def __init__(self, num_images: int) -> None:
        super().__init__()
        self._num_images = num_images

    def add(
        self, kind: str, example: str, effect: Effect = Effect.TOLD, *, remedy: str = ""
    ) -> bool:
        """See `MetImages`. Raises DatasetError once more than 5 % of the images (and more than one)
        are unreadable; the same limit holds for files whose damage shows at the start."""
        is_kept = super().add(kind, example, effect, remedy=remedy)
        num_unreadable = len(self._met.get(UNREADABLE, ()))
        if kind == UNREADABLE and too_many_broken(num_unreadable, self._num_images):
            raise DatasetError(
                f"training set: {num_unreadable} of {self._num_images} images, more than 5 %, have "
                f"turned out to be unreadable up to now, for example {printable(example)}; then "
                "start again with the same output folder to go on"
            )
        return is_kept


def report_met(name: str, met: Iterable[Met], num_images: int) -> None:
    """Log a warning for each kind of problem that a run's processes found in a set's images."""
    everywhere = MetImages()
    for one in met:
        everywhere.restore(one)
    for kind, sentences in everywhere.met().items():
        if sentences:
            logger.warning(
                "%s set: %d of %d images %s, for example %s",
                name,
                len(sentences),
                num_images,
                _TOLD[kind],
                "; ".join(map(printable, sentences[:3])),
            )
