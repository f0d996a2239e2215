"""Logs problems of images with more than 8 bits: the first one at once, the sums at the end."""

import logging
from pathlib import Path

from app.engine.structures.deep import Deep
from common.text import printable

logger = logging.getLogger(__name__)


class DeepTally:
    """Counts over a stream of images; nothing is logged if all have 8 bits."""

    def __init__(self) -> None:
        self._num_images = 0
        self._num_clipped = 0
        self._num_values = 0
        self._num_shallow = 0
        self._largest = 0.0

    def add(self, path: Path, deep: Deep | None) -> None:
        """Add one image, None for 8 bits; the first image with each problem is logged."""
        if deep is None:
            return
        self._num_images += 1
        self._largest = max(self._largest, deep.largest)
        if deep.num_outside:
            if not self._num_clipped:
                logger.warning("%s: %s", printable(str(path)), deep.outside)
            self._num_clipped += 1
            self._num_values += deep.num_outside
        if deep.looks_shallow:
            if not self._num_shallow and not deep.is_decided:
                logger.warning(
                    "%s: the largest of its values is %g where %g is white, so it looks nearly "
                    "black to a model that was trained on images of 8 bits; convert such images "
                    "to 8 bits, or set INPUT.BITS_PER_SAMPLE in the model's config.yaml",
                    printable(str(path)),
                    deep.largest,
                    deep.white,
                )
            self._num_shallow += 1

    def tell(self) -> None:
        """Log the sums after the last image."""
        if self._num_clipped:
            logger.warning(
                "%d of %d images with more than 8 bits have values beyond white or black: %d "
                "values are clipped",
                self._num_clipped,
                self._num_images,
                self._num_values,
            )
        if self._num_images and self._num_shallow == self._num_images:
            logger.warning(
                "all %d images with more than 8 bits use less than a quarter of the range up to "
                "white (the largest value is %g): they look nearly black to this model, unless "
                "its training images did, too",
                self._num_images,
                self._largest,
            )
