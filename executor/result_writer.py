"""Results of infer and mining, streamed to disk so that memory does not grow with the images.

infer-result.json lists every candidate by its file's base name, with integer boxes `x y w h` that
lie inside the image; result.tsv lists every candidate once, the one to label first on top.
"""

import json
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from executor.atomic_file import atomic_writer

logger = logging.getLogger(__name__)

Size = tuple[int, int]
"""(height, width) in pixels."""


class InferResult:
    """infer-result.json in the making; see `infer_result`."""

    def __init__(self, stream: TextIO, class_names: Sequence[str], *, boxes_key: str) -> None:
        self._stream = stream
        self._class_names = list(class_names)
        self._boxes_key = boxes_key
        self._names: set[str] = set()
        self.num_dropped = 0

    def add(
        self,
        image_text: str,
        *,
        boxes: Iterable[Sequence[float]] = (),
        classes: Iterable[int] = (),
        scores: Iterable[float] = (),
        size: Size | None = None,
    ) -> None:
        """One image, named as the index names it, with its detections (none: unreadable or empty).

        boxes are x0 y0 x1 y1 in pixels of the image as shown, clipped here to `size`; boxes outside
        it and detections that are not finite are left out. classes count from 0.
        """
        found = []
        for box, class_index, score in zip(boxes, classes, scores, strict=True):
            box_xywh = integer_box(box, size)
            if box_xywh is None or not math.isfinite(score):
                self.num_dropped += 1
                continue
            found.append(
                {
                    "box": dict(zip("xywh", box_xywh, strict=True)),
                    "class_name": self._class_names[class_index],
                    "score": round(min(max(float(score), 0.0), 1.0), 6),
                }
            )
        found.sort(key=lambda detection: -float(str(detection["score"])))
        name = self._name(image_text)
        separator = ",\n" if len(self._names) > 1 else "\n"
        entry = json.dumps({self._boxes_key: found}, separators=(",", ":"))
        self._stream.write(f"{separator}{json.dumps(name)}:{entry}")

    def _name(self, image_text: str) -> str:
        """The base name; the whole path where another image has the same."""
        name = image_text.rsplit("/", 1)[-1]
        if name in self._names:
            logger.warning("%s: another image has this name; listed with its path", image_text)
            name = image_text
        assert name not in self._names, f"{image_text} was added twice"
        self._names.add(name)
        return name


@contextmanager
def infer_result(
    path: Path, class_names: Sequence[str], *, boxes_key: str = "boxes"
) -> Iterator[InferResult]:
    """Write infer-result.json: add images inside the block; the file appears, whole, at its end."""
    with atomic_writer(path) as stream:
        stream.write('{"detection":{')
        result = InferResult(stream, class_names, boxes_key=boxes_key)
        yield result
        stream.write("}}\n")
    if result.num_dropped:
        logger.warning("%d detections were not finite or outside", result.num_dropped)


def integer_box(box: Sequence[float], size: Size | None) -> tuple[int, int, int, int] | None:
    """x0 y0 x1 y1 -> integer x y w h inside the image, at least 1 x 1; None if it lies outside."""
    if not all(math.isfinite(value) for value in box):
        return None
    height, width = size if size is not None else (2**31 - 1, 2**31 - 1)
    x, w = _integer_span(box[0], box[2], width)
    y, h = _integer_span(box[1], box[3], height)
    return None if w == 0 or h == 0 else (x, y, w, h)


def _integer_span(start: float, stop: float, length: int) -> tuple[int, int]:
    """Pixels from start to stop as (first, count), at least one; (0, 0) outside [0, length)."""
    if stop < start or stop <= 0 or start >= length:
        return 0, 0
    first = min(max(round(start), 0), length - 1)
    end = min(max(round(stop), first + 1), length)
    return first, end - first


def write_mining_result(
    path: Path, scores: Iterable[tuple[str, float]], *, unreadable: Iterable[str] = ()
) -> None:
    """Write result.tsv from (image as the index names it, mining score), higher = label first.

    Equal scores are ordered by name, so that the order of the input does not matter; images that
    are unreadable or whose score is not finite come last.
    """
    ranked, last = _ranked(scores, unreadable)
    lowest = min((score for _, score in ranked), default=0.0) - 1.0
    with atomic_writer(path) as stream:
        for image_text, score in ranked:
            stream.write(f"{image_text}\t{score:.9g}\n")
        for image_text in last:
            stream.write(f"{image_text}\t{lowest:.9g}\n")


def _ranked(
    scores: Iterable[tuple[str, float]], unreadable: Iterable[str]
) -> tuple[list[tuple[str, float]], list[str]]:
    """Best first, and those that have no place in the order; each image once."""
    known: dict[str, float] = {}
    last: set[str] = set(unreadable)
    num_undefined = 0
    for image_text, score in scores:
        if math.isfinite(score):
            known.setdefault(image_text, float(score))
        else:
            num_undefined += 1
            last.add(image_text)
    if num_undefined:
        logger.warning("%d images have no finite score; they come last", num_undefined)
    ranked = sorted(known.items(), key=lambda item: (-item[1], item[0]))
    return ranked, sorted(last - known.keys())
