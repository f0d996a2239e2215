"""infer-result.json for instance segmentation (object type 4): one COCO json for all candidates."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from executor.atomic_file import atomic_writer
from executor.result_writer import Size, integer_box


@dataclass(frozen=True, slots=True)
class Segment:
    """One object of an image.

    box          x0 y0 x1 y1 in pixels
    class_index  position in class_names
    score        in [0, 1]
    counts       the mask as COCO's compressed run lengths, over the whole image
    area         pixels of the mask
    """

    box: tuple[float, float, float, float]
    class_index: int
    score: float
    counts: str
    area: float


class SegmentationResult:
    """The file in the making; see `segmentation_result`."""

    def __init__(self, stream: TextIO, num_classes: int) -> None:
        self._stream = stream
        self._num_classes = num_classes
        self._num_annotations = 0
        self.images: list[tuple[str, Size]] = []

    def add(self, image_text: str, segments: Sequence[Segment] = (), *, size: Size) -> None:
        """One image, named as the index names it, with what was found in it."""
        self.images.append((image_text.rsplit("/", 1)[-1], size))
        for segment in segments:
            assert 0 <= segment.class_index < self._num_classes
            box_xywh = integer_box(segment.box, size)
            if box_xywh is not None and math.isfinite(segment.score) and segment.area > 0:
                self._write(segment, box_xywh, size)

    def _write(self, segment: Segment, box_xywh: tuple[int, int, int, int], size: Size) -> None:
        annotation = {
            "id": self._num_annotations + 1,
            "image_id": len(self.images),
            "category_id": segment.class_index,
            "bbox": list(box_xywh),
            "area": segment.area,
            "iscrowd": 0,
            "segmentation": {"counts": segment.counts, "size": list(size)},
            "confidence": round(min(max(segment.score, 0.0), 1.0), 6),
        }
        separator = ",\n" if self._num_annotations else "\n"
        self._stream.write(separator + json.dumps(annotation, separators=(",", ":")))
        self._num_annotations += 1


@contextmanager
def segmentation_result(path: Path, class_names: Sequence[str]) -> Iterator[SegmentationResult]:
    """Write the COCO json: add images inside the block; the file appears, whole, at its end."""
    categories = [{"id": index, "name": name} for index, name in enumerate(class_names)]
    with atomic_writer(path) as stream:
        stream.write('{"annotations":[')
        result = SegmentationResult(stream, len(categories))
        yield result
        stream.write(f'],\n"categories":{json.dumps(categories)},\n"images":[')
        for index, (name, (height, width)) in enumerate(result.images):
            image = {"id": index + 1, "file_name": name, "width": width, "height": height}
            stream.write((",\n" if index else "\n") + json.dumps(image))
        stream.write("]}\n")
