"""PASCAL VOC folders (Annotations, ImageSets, JPEGImages) as their authors publish them.

Their pixel indices start at 1 and maxima are inclusive, so a box from 1 to the width covers the
whole image. Difficult objects are used in training and marked for evaluation.
"""

from collections.abc import Sequence
from pathlib import Path

from app.engine.data.datasets.account import settle
from app.engine.data.datasets.dataset import Dataset
from app.engine.data.formats import Reading
from app.engine.data.formats._class_finder import ClassFinder
from app.engine.data.formats._records import NO_IMAGE, ParsedObject, build_record
from app.engine.data.formats._voc_file import VocFile, VocObject, read_file
from app.engine.data.formats.voc import known_objects
from app.engine.data.images.headers import image_size
from app.engine.data.problems import Effect
from app.engine.errors import DatasetError, ImageError
from app.engine.structures.record import ImageRecord

VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def load_voc(folder: Path, split: str, class_names: Sequence[str] = VOC_CLASSES) -> Dataset:
    """Read the images of ImageSets/Main/`split`.txt, in its order; its names are the image ids."""
    listing = folder / "ImageSets" / "Main" / f"{split}.txt"
    try:
        lines = listing.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DatasetError(f"{listing}: cannot be read ({error.strerror}); check it") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{listing}: not a text file; list one image name a line") from error
    names = [line.split()[0] for line in lines if line.strip()]
    reading = Reading(class_names)
    annotations = [(name, folder / "Annotations" / f"{name}.xml") for name in names]
    files = [
        (folder / "JPEGImages" / f"{name}.jpg", file)
        for name, annotation in annotations
        if (file := read_file(annotation, reading.problems)) is not None
    ]
    finder = ClassFinder(reading, (name for _, file in files for name in file.names))
    found = (_record(image, file, finder, reading) for image, file in files)
    records = [record for record in found if record is not None]
    settle(f"{folder.name} {split}", len(names), records, reading)
    return Dataset(
        records, list(class_names), list(range(1, len(class_names) + 1)), evaluation="voc"
    )


def _record(
    image: Path, file: VocFile, finder: ClassFinder, reading: Reading
) -> ImageRecord | None:
    """Make a record with the file's size, else the image's; None if that cannot be read either."""
    try:
        size = file.size or image_size(image)
    except ImageError as error:
        reading.problems.add(NO_IMAGE, str(error), Effect.BROKEN)
        return None
    objects = (
        ParsedObject(class_id, _from_zero(found), difficult=found.difficult)
        for class_id, found in known_objects(file, finder, reading.problems)
    )
    return build_record(image, size, objects, image_id=image.stem, reading=reading)


def _from_zero(found: VocObject) -> tuple[float, float, float, float]:
    """Edges of a box whose pixels are counted from 1."""
    x0, y0, x1, y1 = found.edges(inclusive=True)
    return x0 - 1, y0 - 1, x1 - 1, y1 - 1
