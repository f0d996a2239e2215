"""The interface of a target: a layout in which detections are written for another tool."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from app.engine.data.problems import Effect, Problems
from app.engine.structures.size import Size
from app.exchange.detected import DetectedImage, DetectedSet

NO_MASKS = "mask that this layout cannot hold (the box is written)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A layout.

    write          writes the set into an empty folder
    next_step      what to do with the folder, as the end of a message
    needs_sizes    False if images of unknown size can be written as well
    numbers        whether it numbers classes, so that their order matters
    one_file_each  whether each image has a file of its name: such files are named alike for images
                   that differ in their suffixes only
    """

    write: Callable[[DetectedSet, Path, Problems], None]
    next_step: str
    needs_sizes: bool = True
    numbers: bool = False
    one_file_each: bool = False


def size_of(image: DetectedImage) -> Size:
    """The size of an image for a target that needs it."""
    assert image.size is not None, "the set was made for a target without sizes"
    return image.size


def label_file(image: DetectedImage, folder: Path, suffix: str) -> Path:
    """Return the image's own file below the folder, and make the folders above it."""
    file = folder / PurePosixPath(image.name).with_suffix(suffix)
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def tell_masks(image: DetectedImage, problems: Problems) -> None:
    """Count the masks of an image for a layout that has boxes only."""
    for each in image.objects:
        if each.mask is not None:
            problems.add(NO_MASKS, image.name, Effect.CHANGED)
