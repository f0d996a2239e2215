"""CVAT for images 1.1: one XML file with boxes, and with masks as run lengths.

CVAT refuses attributes that a project does not define, so scores are left off.
https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/
"""

import xml.etree.ElementTree as ET
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.engine.data.problems import Problems
from app.exchange.detected import DetectedObject, DetectedSet
from app.exchange.targets._masks import cut_out
from app.exchange.targets._target import Target, size_of
from app.exchange.targets._xml import Value, add, save


def write(found: DetectedSet, folder: Path, _: Problems) -> None:
    """See `Target`."""
    root = ET.Element("annotations")
    add(root, "version", "1.1")
    labels = add(add(add(root, "meta"), "task"), "labels")
    for name in found.class_names:
        label = add(labels, "label")
        add(label, "name", name)
        add(label, "attributes")
    for number, image in enumerate(found.images):
        height, width = size_of(image)
        entry = add(root, "image", id=number, name=image.name, width=width, height=height)
        for each in image.objects:
            _add_object(entry, each)
    save(root, folder / "annotations.xml")


def _add_object(image: ET.Element, found: DetectedObject) -> None:
    common: dict[str, Value] = {"label": found.class_name, "source": "auto", "occluded": 0}
    if found.mask is None:
        x0, y0, x1, y1 = map(float, found.box)
        add(image, "box", None, **common, xtl=x0, ytl=y0, xbr=x1, ybr=y1, z_order=0)
        return
    bits, left, top = cut_out(found.mask)
    height, width = bits.shape
    common |= {"rle": _run_lengths(bits), "left": left, "top": top}
    add(image, "mask", None, **common, width=width, height=height, z_order=0)


def _run_lengths(bits: npt.NDArray[np.bool_]) -> str:
    """Lengths of runs row by row; the first is of pixels that are not set."""
    runs = [(bool(value), sum(1 for _ in run)) for value, run in groupby(bits.ravel().tolist())]
    lengths = [length for _, length in runs]
    return ", ".join(map(str, [0, *lengths] if runs[0][0] else lengths))


TARGET = Target(
    write=write,
    next_step="in CVAT upload annotations.xml as 'CVAT 1.1'; the task needs these labels",
)
