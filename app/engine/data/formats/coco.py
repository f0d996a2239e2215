"""COCO JSON: usually one file for all sets, which the index splits.

`_coco_file` reads ids and lists, `_coco_names` finds the entry of each image, `_coco_objects` reads
boxes and masks. Classes are identified by the names of categories.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from app.engine.data.formats._class_finder import ClassFinder
from app.engine.data.formats._coco_file import CocoFile, CocoImage, read_coco, without_collecting
from app.engine.data.formats._coco_names import count_shared, match_images
from app.engine.data.formats._coco_objects import Frames, ObjectReader
from app.engine.data.formats._coco_writers import box_frame, mask_frame
from app.engine.data.formats._format import Format
from app.engine.data.formats._frames import SAME, FrameMap, frame_map
from app.engine.data.formats._reading import Frame, Reading
from app.engine.data.formats._records import build_record, readable_pairs
from app.engine.data.images.headers import Header
from app.engine.data.problems import Effect, Problems
from app.engine.errors import DatasetError
from app.engine.structures.record import ImageRecord

NO_FILE = "COCO file that cannot be used (its images left out)"
UNLISTED = "image that the annotation file does not list (left out)"
LOST = "object of an image that is left out (dropped)"

Found = tuple[CocoImage, Path, Header]
"""An entry of a file, its image and the image's header."""


def read(pairs: Sequence[tuple[Path, Path]], reading: Reading) -> list[ImageRecord]:
    """Read records of (image, annotation) pairs; usually all have the same annotation file."""
    headers = {image: header for image, _, header in readable_pairs(pairs, reading.problems)}
    file_of: dict[Path, Path] = {}
    for image, annotation in pairs:
        file_of.setdefault(image, annotation)
    files: dict[Path, list[Path]] = {}
    for image, annotation in file_of.items():
        files.setdefault(annotation, []).append(image)
    records: dict[Path, ImageRecord] = {}
    with without_collecting():
        for annotation, images in files.items():
            records |= _read_file(annotation, images, headers, reading)
    kept = [records[image] for image in headers if image in records]
    for number, record in enumerate(kept):
        record.image_id = number
    return kept


def read_images(
    objects: ObjectReader, found: Sequence[Found], reading: Reading
) -> dict[Path, ImageRecord]:
    """Return the records of the images of a file that can be used; count the others."""
    file = objects.file
    marks = box_frame(file, found), mask_frame(file)
    records = {}
    for image, path, header in found:
        frames = _frames(file, image, header, reading, marks)
        if frames is None:
            count_lost(file, image, reading.problems)
            continue
        parsed = objects.read(image.key, frames)
        records[path] = build_record(
            path, header.size, parsed, image_id=image.image_id, reading=reading
        )
    objects.tell_shifted_ids()
    return records


def count_lost(file: CocoFile, image: CocoImage, problems: Problems) -> None:
    """Count the objects of an image that is left out."""
    for _ in file.annotations[image.key]:
        problems.add(LOST, f"{image.name} in {file.path}", Effect.DROPPED)


def _read_file(
    path: Path, images: Sequence[Path], headers: dict[Path, Header], reading: Reading
) -> dict[Path, ImageRecord]:
    """`read` for the images of one file; `headers` are those of the readable images."""
    problems = reading.problems
    try:
        file = read_coco(path, problems)
    except DatasetError as error:
        for _ in images:
            problems.add(NO_FILE, str(error), Effect.BROKEN)
        return {}
    entries = match_images(images, file.images.values(), problems)
    _refuse_other_sets(path, entries, reading)
    found = []
    for image in images:
        entry = entries.get(image)
        if entry is not None and image in headers:
            found.append((entry, image, headers[image]))
        elif entry is not None:
            count_lost(file, entry, problems)
        elif image in headers and image not in entries:
            problems.add(UNLISTED, f"{image}; {path} lists {_example(file)}", Effect.BROKEN)
    finder = ClassFinder(reading, [category.name or "" for category in file.categories])
    objects = ObjectReader(file, lambda c: finder.find(c.name or ""), problems)
    return read_images(objects, found, reading)


def _refuse_other_sets(
    path: Path, entries: Mapping[Path, CocoImage | None], reading: Reading
) -> None:
    """Count entries that were matched to another image in another set of the task."""
    for image, entry in entries.items():
        if entry is not None:
            first = reading.decisions.images.setdefault((path, entry.key), image)
            if first != image:
                count_shared([first, image], [entry], reading.problems)


def _example(file: CocoFile) -> str:
    names = [image.name for image in file.images.values() if image.name]
    return f"for example {names[0]}" if names else "no image"


def _frames(
    file: CocoFile, image: CocoImage, header: Header, reading: Reading, marks: tuple[Frame, Frame]
) -> Frames | None:
    """The frames of the image's boxes and masks; None if the image is left out."""
    where = f"{image.name} in {file.path}"
    masked = [bool(entry.get("segmentation")) for entry in file.annotations[image.key]]
    boxes: FrameMap | None = SAME
    if marks[0] == marks[1] or not all(masked) or not masked:
        boxes = frame_map(image.size, header, reading, where, mark=marks[0])
    masks = boxes
    if marks[0] != marks[1] and any(masked):
        masks = frame_map(image.size, header, reading, where, mark=marks[1])
    if boxes is None or masks is None:
        return None
    size = header.size if masks.is_same else image.size or header.stored_size
    return Frames(size, header.size, boxes, masks)


FORMAT = Format(read=read, words=("coco:raw", "seg-coco:raw"), suffix=".json", is_xywh=True)
