"""What a model found in a set of images, as files of results have it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.engine.structures.run_lengths import Rle
from app.engine.structures.size import Size

Box = tuple[float, float, float, float]
"""x0 y0 x1 y1 in pixels of the image as shown; the width is x1 - x0."""


@dataclass(frozen=True, slots=True)
class DetectedObject:
    """An object that a model found.

    score          in [0, 1]
    mask           over the whole image, if the model finds masks
    has_keypoints  whether the result has keypoints of it, which are not read
    """

    class_name: str
    box: Box
    score: float
    mask: Rle | None = None
    has_keypoints: bool = False


@dataclass(frozen=True, slots=True)
class DetectedImage:
    """An image in which a model looked for objects.

    name  in a result: as the result names it; for a target: its path from the folder of the images
    size  (height, width) as shown; None if it is not known
    file  the image, if it is at hand
    """

    name: str
    size: Size | None
    objects: Sequence[DetectedObject] = ()
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class DetectedSet:
    """Images in the order of a result.

    class_names  the classes of the model in its order; [] if the result does not name them all
    """

    images: list[DetectedImage]
    class_names: list[str] = field(default_factory=list)
