"""PASCAL VOC: an XML file for each image below Annotations, the list of images, CVAT's labelmap.

As CVAT and Datumaro write it: pixels count from 0, xmax and ymax are the edges behind the last
pixels, and the numbers have decimals. `confidence` holds the score. Masks are left off.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from app.engine.data.problems import Problems
from app.exchange.detected import DetectedImage, DetectedSet
from app.exchange.targets._target import Target, label_file, size_of, tell_masks
from app.exchange.targets._xml import add, save

COLON = "class whose name has a colon (labelmap.txt, which CVAT reads, is not written)"


def write(found: DetectedSet, folder: Path, problems: Problems) -> None:
    """See `Target`."""
    listed = []
    (folder / "Annotations").mkdir()
    for image in found.images:
        save(_annotation(image), label_file(image, folder / "Annotations", ".xml"))
        tell_masks(image, problems)
        listed.append(PurePosixPath(image.name).with_suffix("").as_posix())
    sets = folder / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    _write_lines(sets / "default.txt", listed)
    names = [name for name in found.class_names if ":" not in name]
    if len(names) == len(found.class_names):
        _write_lines(
            folder / "labelmap.txt", ["# label:color_rgb:parts:actions", *map(_row, names)]
        )
    else:
        problems.add(COLON, next(name for name in found.class_names if ":" in name))


def _row(class_name: str) -> str:
    return f"{class_name}:::"


def _write_lines(file: Path, lines: Iterable[str]) -> None:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _annotation(image: DetectedImage) -> ET.Element:
    root = ET.Element("annotation")
    add(root, "folder", PurePosixPath(image.name).parent.name)
    add(root, "filename", image.name)
    height, width = size_of(image)
    size = add(root, "size")
    for tag, number in (("width", width), ("height", height), ("depth", 3)):
        add(size, tag, number)
    add(root, "segmented", 0)
    for each in image.objects:
        entry = add(root, "object")
        add(entry, "name", each.class_name)
        for tag, value in (("pose", "Unspecified"), ("truncated", 0), ("difficult", 0)):
            add(entry, tag, value)
        add(entry, "confidence", f"{each.score:.6f}")
        box = add(entry, "bndbox")
        for tag, edge in zip(("xmin", "ymin", "xmax", "ymax"), each.box, strict=True):
            add(box, tag, float(edge))
    return root


TARGET = Target(
    write=write,
    one_file_each=True,
    next_step="in CVAT upload the folder, packed as a zip file, as 'PASCAL VOC 1.1'; in labelImg"
    " open Annotations as the folder of annotations",
)
