"""infer-result.json for instance segmentation (object type 4): one COCO json for all candidates."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from executor.dataset_reader import Asset
from executor.output_files import atomic_writer
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


def segmentation_entry(segments: Sequence[Segment] = (), *, size: Size) -> str:
    """Return the journal entry of one image: its size, then its objects, separated by TABs."""
    height, width = size
    return "\t".join([f"{height} {width}", *_annotations(segments, size)])


def _annotations(segments: Sequence[Segment], size: Size) -> Iterator[str]:
    """Yield the JSON of each object, without its id and image id, which the writer adds."""
    for segment in segments:
        box_xywh = integer_box(segment.box, size)
        if box_xywh is None or not math.isfinite(segment.score) or segment.area <= 0:
            continue
        annotation = {
            "category_id": segment.class_index,
            "bbox": list(box_xywh),
            "area": segment.area,
            "iscrowd": 0,
            "segmentation": {"counts": segment.counts, "size": list(size)},
            "confidence": round(min(max(segment.score, 0.0), 1.0), 6),
        }
        yield json.dumps(annotation, separators=(",", ":"))


def write_segmentation_result(
    path: Path, images: Iterable[Asset], entries: Iterable[str], class_names: Sequence[str]
) -> None:
    """Write the COCO json of images and their `segmentation_entry`s; both are iterated twice."""
    categories = [{"id": index, "name": name} for index, name in enumerate(class_names)]
    with atomic_writer(path) as stream:
        stream.write('{"annotations":[')
        number, separator = 0, "\n"
        for image_id, entry in enumerate(entries, start=1):
            for annotation in entry.split("\t")[1:]:
                number += 1
                ids = f'{{"id":{number},"image_id":{image_id},'
                stream.write(f"{separator}{ids}{annotation[1:]}")
                separator = ",\n"
        stream.write(f'],\n"categories":{json.dumps(categories)},\n"images":[')
        separator = "\n"
        for image_id, (image, entry) in enumerate(zip(images, entries, strict=True), start=1):
            height, width = map(int, entry.partition("\t")[0].split())
            name = image.image_text.rsplit("/", 1)[-1]
            about = {"id": image_id, "file_name": name, "width": width, "height": height}
            stream.write(separator + json.dumps(about))
            separator = ",\n"
        stream.write("]}\n")
