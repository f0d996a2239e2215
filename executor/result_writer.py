"""Results of infer and mining, streamed to disk so that memory does not grow with the images.

infer-result.json lists every candidate by its file's base name, with integer boxes `x y w h` that
lie inside the image; result.tsv lists every candidate once, the one to label first on top.
"""

import json
import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from executor.dataset_reader import Asset
from executor.novelty import Novelty
from executor.output_files import atomic_writer

logger = logging.getLogger(__name__)

Size = tuple[int, int]
"""(height, width) in pixels."""

_BOUNDLESS = (2**31 - 1, 2**31 - 1)


class InferEntries:
    """Make the entry of one image in infer-result.json.

    num_dropped  number of detections that were not finite or lay outside their image
    """

    def __init__(self, class_names: Sequence[str], *, boxes_key: str = "boxes") -> None:
        self._class_names = [json.dumps(name) for name in class_names]
        self._boxes_key = json.dumps(boxes_key)
        self.num_dropped = 0

    def entry(
        self,
        *,
        boxes: Iterable[Sequence[float]] = (),
        classes: Iterable[int] = (),
        scores: Iterable[float] = (),
        size: Size | None = None,
    ) -> str:
        """Return the JSON of an image's detections, best first (none: unreadable or empty).

        boxes are x0 y0 x1 y1 in pixels of the image as shown, clipped here to `size`; boxes outside
        it and detections that are not finite are left out. classes count from 0.
        """
        found: list[tuple[float, str]] = []
        for box, class_index, given_score in zip(boxes, classes, scores, strict=True):
            box_xywh = integer_box(box, size)
            if box_xywh is None or not math.isfinite(given_score):
                self.num_dropped += 1
                continue
            x, y, w, h = box_xywh
            score = round(min(max(float(given_score), 0.0), 1.0), 6)
            text = f'{{"box":{{"x":{x},"y":{y},"w":{w},"h":{h}}},"class_name":'
            found.append((score, f'{text}{self._class_names[class_index]},"score":{score}}}'))
        found.sort(key=lambda detection: -detection[0])
        return f"{{{self._boxes_key}:[{','.join(text for _, text in found)}]}}"


def write_infer_result(path: Path, images: Iterable[Asset], entries: Iterable[str]) -> None:
    """Write infer-result.json: each image's base name with its entry (see `InferEntries`).

    Where several images have the same base name, the later ones are listed with their paths.
    `images` is iterated twice.
    """
    novelty = Novelty(_base_name(image.image_text) for image in images)
    renamed: set[str] = set()
    separator = "\n"
    with atomic_writer(path) as stream:
        stream.write('{"detection":{')
        for image, entry in zip(images, entries, strict=True):
            name = _base_name(image.image_text)
            if not novelty.is_new(name):
                name = image.image_text
                while "/" not in name or name in renamed:
                    name = f"./{name}"
                renamed.add(name)
            stream.write(f"{separator}{json.dumps(name)}:{entry}")
            separator = ",\n"
        stream.write("}}\n")
    if renamed:
        logger.warning(
            "%d images share the base name of another, such as %s; listed with their paths",
            len(renamed),
            min(renamed),
        )


def _base_name(image_text: str) -> str:
    return image_text.rsplit("/", 1)[-1]


def integer_box(box: Sequence[float], size: Size | None) -> tuple[int, int, int, int] | None:
    """x0 y0 x1 y1 -> integer x y w h inside the image, at least 1 x 1; None if it lies outside."""
    x0, y0, x1, y1 = box
    if not math.isfinite(x0 + y0 + x1 + y1):
        return None
    height, width = size or _BOUNDLESS
    if x1 < x0 or y1 < y0 or x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        return None
    x, y = max(round(x0), 0), max(round(y0), 0)
    x, y = min(x, width - 1), min(y, height - 1)
    # A side of half a pixel or less becomes one pixel.
    return x, y, min(max(round(x1), x + 1), width) - x, min(max(round(y1), y + 1), height) - y


def write_mining_result(
    path: Path, ranked: Iterable[tuple[str, float]], *, last: Iterable[str] = ()
) -> None:
    """Write result.tsv from images, as the index names them, and their finite scores.

    ranked  each image once, the one to label first on top
    last    images without a score
    """
    lowest = math.inf
    with atomic_writer(path) as stream:
        for image_text, score in ranked:
            assert -math.inf < score <= lowest, "not ranked"
            lowest = score
            stream.write(f"{image_text}\t{score:.9g}\n")
        below = (lowest if lowest < math.inf else 0.0) - 1.0
        for image_text in last:
            stream.write(f"{image_text}\t{below:.9g}\n")
