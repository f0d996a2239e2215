"""How `detex detect` writes what it finds: a table for people, JSON lines or CSV for programs.

Each writer writes an image when it is finished, so that memory does not grow with their number.
"""

import csv
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.engine.structures.run_lengths import encode_bitmaps
from app.engine.trained.found import Found
from common.text import printable


class Writer(ABC):
    """Writes the objects of one image after the other to standard output."""

    @abstractmethod
    def add(self, path: Path, found: Found) -> None:
        """Write the objects of an image."""

    def unreadable(self, path: Path, reason: str) -> None:
        """Write that an image cannot be read; the log says it, too."""
        return

    def end(self, told: Mapping[str, Any]) -> None:
        """Write the sums."""
        return


class Table(Writer):
    """One line for each object, and one for an image without objects."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self._width = max([len("class"), *(len(printable(name)) for name in class_names)])
        _say(
            f"{'score':>5}  {'class':<{self._width}}  {'x0':>6} {'y0':>6} {'x1':>6} {'y1':>6}  file"
        )

    def add(self, path: Path, found: Found) -> None:
        """See `Writer`."""
        file = printable(str(path))
        for each in found:
            box = " ".join(f"{value:6.0f}" for value in each.box)
            _say(f"{each.score:5.2f}  {printable(each.class_name):<{self._width}}  {box}  {file}")
        if not len(found):
            _say(f"{'-':>5}  {'nothing':<{self._width}}  {' ' * 27}  {file}")


class Csv(Writer):
    """The columns file, class, score, x0, y0, x1, y1; an image without objects has no row."""

    def __init__(self, _class_names: Sequence[str]) -> None:
        self._rows = csv.writer(sys.stdout, lineterminator="\n")
        self._rows.writerow(["file", "class", "score", "x0", "y0", "x1", "y1"])

    def add(self, path: Path, found: Found) -> None:
        """See `Writer`."""
        for each in found:
            numbers = [round(value, 2) for value in each.box]
            self._rows.writerow([path, each.class_name, round(each.score, 6), *numbers])
        sys.stdout.flush()


class Json(Writer):
    """A JSON object for each image, and one with the sums at the end."""

    def __init__(self, _class_names: Sequence[str]) -> None:
        pass

    def add(self, path: Path, found: Found) -> None:
        """See `Writer`."""
        height, width = found.image_size
        content = {"event": "image", "file": str(path), "width": width, "height": height}
        _say(json.dumps({**content, "objects": _objects(found), **_regions(found)}))

    def unreadable(self, path: Path, reason: str) -> None:
        """See `Writer`."""
        _say(json.dumps({"event": "image", "file": str(path), "error": reason}))

    def end(self, told: Mapping[str, Any]) -> None:
        """See `Writer`."""
        _say(json.dumps({"event": "result", **told}))


WRITERS: dict[str, Callable[[Sequence[str]], Writer]] = {"table": Table, "csv": Csv, "json": Json}


def _objects(found: Found) -> list[dict[str, Any]]:
    codes = None if found.masks is None else encode_bitmaps(found.masks)
    objects = []
    for row, each in enumerate(found):
        entry: dict[str, Any] = {
            "class": each.class_name,
            "score": round(each.score, 6),
            "box": [round(value, 2) for value in each.box],
        }
        if codes is not None:
            entry["segmentation"] = codes[row]
        if each.keypoints is not None:
            entry["keypoints"] = [[round(v, 3) for v in point] for point in each.keypoints.tolist()]
        objects.append(entry)
    return objects


def _regions(found: Found) -> dict[str, Any]:
    """Return the share of the pixels that each class of a label map has."""
    if found.semantic is None:
        return {}
    values, counts = np.unique(found.semantic, return_counts=True)
    stuff = found.vocabulary.stuff
    shares = zip(values.tolist(), (counts / found.semantic.size).tolist(), strict=True)
    return {
        "regions": {stuff[v] if v < len(stuff) else f"class {v}": round(s, 4) for v, s in shares}
    }


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
