"""PASCAL VOC folders (Annotations, ImageSets, JPEGImages) as their authors publish them.

Pixel indices there start at 1 and maxima are inclusive, so a box from 1 to the width covers the
whole image. Difficult objects are trained on and marked for evaluation.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from app.engine.data.dataset import Dataset
from app.engine.data.formats._records import class_ids_by_name
from app.engine.data.formats.voc import parse_xml, read_objects
from app.engine.data.image import image_size
from app.engine.data.problems import Problems
from app.engine.errors import DatasetError
from app.engine.structures.boxes import Size
from app.engine.structures.sample import ImageRecord

logger = logging.getLogger(__name__)

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
    """The images of ImageSets/Main/`split`.txt, in its order; image ids are the names in it."""
    listing = folder / "ImageSets" / "Main" / f"{split}.txt"
    try:
        lines = listing.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DatasetError(f"{listing}: cannot be read ({error.strerror}); check it") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{listing}: not a text file; list one image name a line") from error
    names = [line.split()[0] for line in lines if line.strip()]
    class_ids = class_ids_by_name(class_names)
    problems = Problems()
    records = []
    for name in names:
        annotation = folder / "Annotations" / f"{name}.xml"
        root = parse_xml(annotation, problems)
        if root is not None:
            image = folder / "JPEGImages" / f"{name}.jpg"
            records.append(_record(image, root, class_ids, annotation, problems))
    problems.report(logger)
    return Dataset(
        records, list(class_names), list(range(1, len(class_names) + 1)), evaluation="voc"
    )


def _record(
    image: Path, root: Element, class_ids: dict[str, int], annotation: Path, problems: Problems
) -> ImageRecord:
    objects = list(read_objects(root, class_ids, annotation, problems))
    height, width = _size(root) or image_size(image)
    # `read_objects` counts from 0, as the platform does.
    boxes = np.array([parsed.box for parsed in objects], dtype=np.float32).reshape(-1, 4) - 1
    return ImageRecord(
        path=image,
        height=height,
        width=width,
        boxes=boxes,
        classes=np.array([parsed.class_id for parsed in objects], dtype=np.int64),
        image_id=image.stem,
        difficult=np.array([parsed.difficult for parsed in objects], dtype=np.bool_),
    )


def _size(root: Element) -> Size | None:
    try:
        height, width = (int(root.findtext(f"size/{side}") or 0) for side in ("height", "width"))
    except ValueError:
        return None
    return (height, width) if height > 0 and width > 0 else None
