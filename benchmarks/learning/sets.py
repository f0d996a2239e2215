"""The labelled data: blood cells (BCCD) and trees in aerial photographs.

Each set has images for training, for choosing (val) and for publishing (test). BCCD comes with its
own splits. The trees are the demo's tiles: one photograph trains, of another one the left part
validates and the right part tests, and the two parts share no pixel.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.engine.structures.record import ImageRecord
from benchmarks.bccd import CLASS_NAMES, read_split
from demo.tiles import Tile, cut

TRAIN_TREES = "2019_YELL_2_528000_4978000_image_crop2.png"
OTHER_TREES = "2019_YELL_2_541000_4977000_image_crop.png"


@dataclass(frozen=True, slots=True)
class Splits:
    """Records of a set and the names of its classes."""

    class_names: Sequence[str]
    train: Sequence[ImageRecord]
    val: Sequence[ImageRecord]
    test: Sequence[ImageRecord]


def read(name: str, data: Path, work: Path) -> Splits:
    """The splits of `name` from its folder `data`; `work` takes the tiles that are cut."""
    return SETS[name](data, work)


def _bccd(data: Path, _work: Path) -> Splits:
    train, val, test = (read_split(data, split) for split in ("train", "val", "test"))
    return Splits(CLASS_NAMES, train, val, test)


def _trees(data: Path, work: Path) -> Splits:
    other = data / OTHER_TREES
    return Splits(
        ["tree"],
        _written(cut(data / TRAIN_TREES, stride=200), work),
        _written(cut(other, stride=400, columns=(0, 600)), work),
        _written(cut(other, stride=400, columns=(649, 1249)), work),
    )


def _written(tiles: Iterable[Tile], work: Path) -> list[ImageRecord]:
    work.mkdir(parents=True, exist_ok=True)
    records = []
    for tile in tiles:
        path = work / f"{tile.name}.png"
        if not path.exists():
            tile.image.save(path)
        boxes = np.array(tile.boxes, dtype=np.float32).reshape(-1, 4)
        boxes[:, 2:] += 1  # tiles name the last pixels
        classes = np.zeros(len(boxes), dtype=np.int64)
        width, height = tile.image.size
        records.append(ImageRecord(path, height, width, boxes, classes, image_id=tile.name))
    return records


SETS: dict[str, Callable[[Path, Path], Splits]] = {"bccd": _bccd, "trees": _trees}
