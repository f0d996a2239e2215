"""COCO's JSON files for users of the engine: instances, and persons with keypoints.

A user's own data is checked like a platform's: are there images, of the annotated size, with boxes
inside them? Published data sets are read as detectron2 reads them: only the JSON file is opened,
boxes are not changed, and objects with broken masks are left out.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from app.engine.data.datasets.account import settle
from app.engine.data.datasets.dataset import Dataset
from app.engine.data.formats import Conventions, Reading
from app.engine.data.formats._coco_file import (
    Category,
    CocoImage,
    Entry,
    Key,
    id_key,
    index_coco,
    read_content,
    sort_key,
    without_collecting,
)
from app.engine.data.formats._coco_folder import find_images
from app.engine.data.formats._coco_objects import (
    MAX_COORDINATE,
    NO_BOX,
    ObjectReader,
    has_area,
    parse_box,
)
from app.engine.data.formats._frames import SAME
from app.engine.data.formats._records import NO_IMAGE, ParsedObject, record_of
from app.engine.data.formats.coco import count_lost, read_images
from app.engine.data.images.headers import image_size
from app.engine.data.problems import Effect, Problems
from app.engine.data.smells.scent import Scent
from app.engine.data.smells.table import sniff
from app.engine.errors import DatasetError, EngineError, ImageError
from app.engine.structures.class_names import plain_name
from app.engine.structures.record import ImageRecord
from app.engine.structures.size import Size

BROKEN_MASK = "object whose mask is broken (dropped)"
NO_AREA = "box without area (nothing is learnt from it)"
REPEATED_NAME = "name of two categories (they are one class)"


def load_coco(
    json_path: Path,
    image_dir: Path,
    *,
    name: str = "",
    conventions: Conventions | None = None,
    accepted_smells: Collection[str] = (),
    is_published: bool = False,
) -> Dataset:
    """Read instances (and keypoints, if the file has them); images and classes sorted by id.

    name             name of the set in the log; "" for the path of its file
    is_published     whether detectron2 has the data set by name; then it is read as detectron2 does
    accepted_smells  names of smells that the user has found to be harmless

    Raises DatasetError if the set is broken.
    """
    reading = Reading([], conventions or Conventions())
    name = name or str(json_path)
    with without_collecting():
        content = read_content(json_path)
        dataset = coco_dataset(
            content, json_path, image_dir, reading, name=name, is_published=is_published
        )
    if not is_published:
        scent = Scent(
            dataset.records, replace(reading, class_names=dataset.class_names), is_xywh=True
        )
        sniff(name, scent, accepted_smells, key="DATASETS.ACCEPTED_SMELLS")
    return dataset


def coco_dataset(
    content: Entry,
    json_path: Path,
    image_dir: Path,
    reading: Reading,
    *,
    name: str = "",
    is_published: bool,
) -> Dataset:
    """Make the data set of `load_coco` from a file's content, as `read_content` returns it."""
    problems = reading.problems
    file = index_coco(content, json_path, problems)
    class_names, class_ids = _classes(file.categories, json_path, problems)
    reading = replace(reading, class_names=class_names)
    keypoints = _keypoint_names(file.categories)
    objects = ObjectReader(file, lambda c: class_ids[c.key], problems, num_keypoints=len(keypoints))
    if is_published:
        records = _published_records(objects, image_dir)
    else:
        found = find_images(file, image_dir, problems)
        records = list(read_images(objects, found, reading).values())
    records.sort(key=lambda record: sort_key(id_key(record.image_id) or 0))
    settle(name or str(json_path), len(file.images), records, reading)
    if file.images and not records:
        raise DatasetError(f"{json_path}: none of its images can be used; see the warnings above")
    first_keys = {class_id: key for key, class_id in reversed(class_ids.items())}
    category_ids = [key for _, key in sorted(first_keys.items()) if isinstance(key, int)]
    return Dataset(
        records,
        class_names,
        category_ids if len(category_ids) == len(class_names) else [],
        keypoint_names=keypoints,
    )


@contextmanager
def shape_errors(json_path: Path) -> Iterator[None]:
    """Raise DatasetError for errors inside the block that JSON entries of other types cause."""
    try:
        yield
    except EngineError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"{type(error).__name__}: {error}".split("\n")[0]
        raise DatasetError(
            f"{json_path}: an entry is not as COCO's format says ({what}); correct the file"
        ) from error


def empty_record(path: Path, size: Size, image_id: int | str) -> ImageRecord:
    """Make the record of an image without objects."""
    return record_of(path, size, [], [], image_id=image_id)


def _classes(
    categories: Sequence[Category], path: Path, problems: Problems
) -> tuple[list[str], dict[Key, int]]:
    """Names of the classes in the order of their ids, and the class of each category."""
    class_ids: dict[Key, int] = {}
    by_name: dict[str, int] = {}
    for category in categories:
        name = plain_name(category.name or "")
        if not name:
            raise DatasetError(f"{path}: category {category.key} has no name; give it one")
        if name in by_name:
            problems.add(REPEATED_NAME, f"{name}, once more as id {category.key}")
        class_ids[category.key] = by_name.setdefault(name, len(by_name))
    return list(by_name), class_ids


def _keypoint_names(categories: Sequence[Category]) -> tuple[str, ...]:
    for category in categories:
        names = category.entry.get("keypoints")
        if isinstance(names, list) and names:
            return tuple(str(name) for name in names)
    return ()


def _published_records(objects: ObjectReader, image_dir: Path) -> list[ImageRecord]:
    records = []
    for image in objects.file.images.values():
        path = image_dir / image.name
        try:
            size = image.size or image_size(path)
        except ImageError as error:
            objects.problems.add(NO_IMAGE, str(error), Effect.BROKEN)
            count_lost(objects.file, image, objects.problems)
            continue
        kept = list(_as_published(objects, image, size))
        boxes = [parsed.box for parsed in kept]
        records.append(record_of(path, size, kept, boxes, image_id=image.image_id))
    return records


def _as_published(objects: ObjectReader, image: CocoImage, size: Size) -> Iterator[ParsedObject]:
    for entry in objects.file.annotations[image.key]:
        class_id = objects.class_of(entry)
        if class_id is None:
            continue
        box = parse_box(entry.get("bbox"))
        if box is None or not _is_moderate(*box):
            objects.count(NO_BOX, entry, effect=Effect.DROPPED)
            continue
        mask = objects.mask(entry, size)
        if mask is None and entry.get("segmentation"):
            objects.count(BROKEN_MASK, entry, effect=Effect.DROPPED)
            continue
        if not has_area(box):
            objects.count(NO_AREA, entry)
        yield ParsedObject(
            class_id,
            box,
            crowd=objects.is_crowd(entry),
            segmentation=mask,
            area=objects.area(entry),
            keypoints=objects.keypoints(entry, SAME) if objects.num_keypoints else None,
        )


def _is_moderate(x0: float, y0: float, x1: float, y1: float) -> bool:
    """Whether all coordinates are small enough for float32."""
    m = MAX_COORDINATE
    return -m < x0 < m and -m < y0 < m and -m < x1 < m and -m < y1 < m
