"""Precomputed proposals: files of detectron2 and Detectron, or the same tables as .npz or .json."""

import json
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.engine.errors import DatasetError
from app.engine.pickles import read_pickle
from app.engine.structures.record import ImageRecord

_DETECTRON_NAMES = {"indexes": "ids", "scores": "objectness_logits"}
_XYXY, _XYWH = 0, 1

# Exceptions that the readers of JSON, zip archives and numpy's headers raise for damaged files.
_DAMAGE = (
    *(OSError, ValueError, TypeError, LookupError, EOFError, RecursionError, MemoryError),
    *(SyntaxError, NotImplementedError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


def attach_proposals(records: Sequence[ImageRecord], path: Path) -> None:
    """Put each image's proposals, best first, into `extra["proposals"]`: boxes and logits.

    The file has `ids` of images, and for each image `boxes` (P, 4) and `objectness_logits` (P,);
    `bbox_mode` is 0 (the default) for corners, 1 for x y width height.
    """
    table = {_DETECTRON_NAMES.get(key, key): value for key, value in _read(path).items()}
    for key in ("ids", "boxes", "objectness_logits"):
        if key not in table:
            raise DatasetError(f"{path}: no {key!r} in this proposal file; check what wrote it")
    mode = table.get("bbox_mode", _XYXY)
    if not _is_one_of(mode, (_XYXY, _XYWH)):
        raise DatasetError(f"{path}: bbox_mode is {mode}; use 0 (corners) or 1 (x y width height)")
    try:
        rows = {str(image_id): i for i, image_id in enumerate(table["ids"])}
    except TypeError as error:
        raise DatasetError(f"{path}: ids is no list; check what wrote this file") from error
    for record in records:
        row = rows.get(str(record.image_id))
        if row is None:
            raise DatasetError(
                f"{path}: no proposals for image {record.image_id}; use the file that was made"
                " for this data set"
            )
        try:
            proposals = _sorted(table["boxes"][row], table["objectness_logits"][row], int(mode))
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            raise DatasetError(
                f"{path}: the proposals of image {record.image_id} are not boxes of four numbers"
                f" with a logit each ({error}); check what wrote this file"
            ) from error
        record.extra["proposals"] = proposals


def _sorted(
    boxes: Any, logits: Any, mode: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    with np.errstate(all="ignore"):
        boxes = np.array(boxes, dtype=np.float32).reshape(-1, 4)
        logits = np.array(logits, dtype=np.float32).reshape(-1)
    if len(boxes) != len(logits):
        raise ValueError(f"{len(boxes)} boxes and {len(logits)} logits")
    if not np.isfinite(boxes).all() or np.isnan(logits).any():
        raise ValueError("some are not finite")
    if mode == _XYWH:
        boxes[:, 2:] += boxes[:, :2]
    order = logits.argsort()[::-1]
    return boxes[order], logits[order]


def _is_one_of(value: Any, allowed: tuple[int, ...]) -> bool:
    return np.ndim(value) == 0 and any(value == number for number in allowed)


def _read(path: Path) -> dict[str, Any]:
    content: Any
    try:
        if path.suffix == ".json":
            content = json.loads(path.read_bytes())
        elif path.suffix == ".npz":
            content = _read_npz(path)
        else:
            content = read_pickle(path)
    except _DAMAGE as error:
        reason = (str(error) or type(error).__name__).split("\n")[0]
        raise DatasetError(f"{path}: not a readable proposal file ({reason})") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: a proposal file holds a table, this one does not")
    return content


def _read_npz(path: Path) -> dict[str, Any]:
    """Read plain arrays: `boxes` and logits of all images in a row, and `counts` of each image."""
    # The file is opened here, because numpy does not close the files of damaged archives.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        table: dict[str, Any] = dict(arrays)
    if "counts" in table:
        ends = np.cumsum(table.pop("counts"))[:-1]
        for key in ("boxes", "objectness_logits"):
            table[key] = np.split(table[key], ends)
    return table
