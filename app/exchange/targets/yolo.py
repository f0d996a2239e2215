"""YOLO as Ultralytics describes it: a text file for each image, and data.yaml with the classes.

A line is `class x y width height`, or `class x y x y ...` for the outline of a mask, in shares of
the image's width and height. A label file lies where Ultralytics looks for it: `images/a/b.jpg`
belongs to `labels/a/b.txt`. Images that are at hand are linked there. It has no place for scores.
https://docs.ultralytics.com/datasets/detect/
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from app.engine.data.problems import Problems
from app.engine.structures.size import Size
from app.exchange.detected import DetectedObject, DetectedSet
from app.exchange.targets._masks import outline
from app.exchange.targets._target import Target, label_file, size_of

NOT_LINKED = "image that cannot be linked into images/; copy it there"

_PATHS = "train: images\n"  # detections are not divided; a training needs `val` as well


def write(found: DetectedSet, folder: Path, problems: Problems) -> None:
    """See `Target`."""
    (folder / "labels").mkdir()
    numbers = {name: number for number, name in enumerate(found.class_names)}
    for image in found.images:
        size = size_of(image)
        lines = (f"{numbers[each.class_name]} {_shares(each, size)}\n" for each in image.objects)
        label_file(image, folder / "labels", ".txt").write_text("".join(lines), encoding="ascii")
        if image.file is not None:
            _link(image.file, folder / "images" / image.name, problems)
    # JSON's texts are YAML's as well, whatever characters they have.
    names = "".join(f"  {number}: {json.dumps(name)}\n" for name, number in numbers.items())
    content = f"{_PATHS}names:\n{names}" if names else f"{_PATHS}names: {{}}\n"
    (folder / "data.yaml").write_text(content, encoding="utf-8")
    one_each = "".join(f"{' '.join(name.splitlines())}\n" for name in found.class_names)
    (folder / "classes.txt").write_text(one_each, encoding="utf-8")


def _link(image: Path, link: Path, problems: Problems) -> None:
    """Make the image appear where its labels are looked for; it is not copied."""
    if link.exists():
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(image.resolve())
    except OSError as error:  # a file system without links
        problems.add(NOT_LINKED, f"{image} ({error.strerror})")


def _shares(found: DetectedObject, size: Size) -> str:
    return " ".join(f"{number:.6f}" for number in _numbers(found, size))


def _numbers(found: DetectedObject, size: Size) -> Iterator[float]:
    height, width = size
    if found.mask is not None:
        points = outline(found.mask) / np.array([width, height])
        yield from points.ravel().tolist()
        return
    x0, y0, x1, y1 = found.box
    yield from ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height)
    yield from ((x1 - x0) / width, (y1 - y0) / height)


TARGET = Target(
    write=write,
    numbers=True,
    one_file_each=True,
    next_step="images/ has links to the images that are at hand; put the others there, under the"
    " same folders and names as in labels/",
)
