"""Aerial photographs cut into square tiles, with the boxes that lie in them.

Boxes are inclusive pixels (xmin, ymin, xmax, ymax), as in PASCAL VOC files and in the platform's
ark format. Tiles of one photograph overlap, so a data set is split by photograph, or by halves of
one that share no pixel; never by tile.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

Box = tuple[int, int, int, int]

TILE = 400
"""Side of a tile in pixels (40 m of forest at 10 cm)."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A piece of a photograph and the trees in it."""

    name: str
    image: Image.Image
    boxes: list[Box]


def cut(photograph: Path, *, stride: int, columns: tuple[int, int] | None = None) -> Iterator[Tile]:
    """Tiles at about every `stride` pixels, the last ones flush with the edge.

    columns  first pixel column and the one after the last to cut from; the whole width if None
    """
    with Image.open(photograph) as opened:
        image = opened.convert("RGB")
    boxes = _read_voc(photograph.with_suffix(".xml"))
    left, right = columns or (0, image.width)
    for y in _origins(0, image.height, stride):
        for x in _origins(left, right, stride):
            tile = image.crop((x, y, x + TILE, y + TILE))
            yield Tile(f"{photograph.stem}_{x}_{y}", tile, _boxes_in_tile(boxes, x, y))


def _origins(start: int, stop: int, stride: int) -> list[int]:
    """Evenly spread tile origins that cover [start, stop), at most `stride` apart."""
    room = stop - start - TILE
    gaps = max(1, -(-room // stride)) if room > 0 else 1
    return (
        sorted({start + round(room * i / gaps) for i in range(gaps + 1)}) if room > 0 else [start]
    )


def _boxes_in_tile(boxes: list[Box], x: int, y: int) -> list[Box]:
    """Boxes of which at least half lies in the tile at (x, y), clipped, in the tile's pixels."""
    kept = []
    for x0, y0, x1, y1 in boxes:
        inside = (max(x0, x), max(y0, y), min(x1, x + TILE - 1), min(y1, y + TILE - 1))
        if 2 * _area(inside) >= _area((x0, y0, x1, y1)):
            kept.append((inside[0] - x, inside[1] - y, inside[2] - x, inside[3] - y))
    return kept


def _area(box: Box) -> int:
    """Pixels of an inclusive box; 0 where it is empty."""
    x0, y0, x1, y1 = box
    return max(0, x1 - x0 + 1) * max(0, y1 - y0 + 1)


def _read_voc(path: Path) -> list[Box]:
    """Boxes of a VOC file; none where there is no file. Every object counts as a tree."""
    if not path.is_file():
        return []
    corners = ("xmin", "ymin", "xmax", "ymax")
    boxes = []
    for found in ET.parse(path).getroot().iter("bndbox"):
        x0, y0, x1, y1 = (int(float(found.findtext(corner, "0"))) for corner in corners)
        boxes.append((x0, y0, x1, y1))
    return boxes
