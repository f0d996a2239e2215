"""PASCAL VOC: one XML file per image, as the platform and other tools write it.

Whether the maxima are the last pixels of an object or the edges after them is decided for the set
(see `_corners`). Pixels are counted from 0; for PASCAL's own files, which count from 1, use
`datasets.voc`. Of a rotated box or a polygon the upright box around it is used.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from app.engine.data.formats._class_finder import ClassFinder
from app.engine.data.formats._corners import inclusive_files
from app.engine.data.formats._format import Format
from app.engine.data.formats._frames import frame_map
from app.engine.data.formats._reading import Reading
from app.engine.data.formats._records import (
    ParsedObject,
    build_record,
    readable_pairs,
    tell_shared,
)
from app.engine.data.formats._voc_file import VocFile, VocObject, read_file
from app.engine.data.problems import Problems
from app.engine.structures.record import ImageRecord

OTHER_IMAGE = "annotation file names another image"


def read(pairs: Sequence[tuple[Path, Path]], reading: Reading) -> list[ImageRecord]:
    """Read records of (image, annotation) pairs."""
    found = [
        (image, header, file)
        for image, annotation, header in readable_pairs(pairs, reading.problems)
        if (file := read_file(annotation, reading.problems)) is not None
    ]
    files = [file for _, _, file in found]
    is_inclusive = inclusive_files(files, [header.size for _, header, _ in found], reading)
    finder = ClassFinder(reading, (name for file in files for name in file.names))
    _tell_other_images([(image, file) for image, _, file in found], reading.problems)
    tell_shared((file.path for file in files if file.names), reading.problems)
    records: list[ImageRecord] = []
    for (image, header, file), inclusive in zip(found, is_inclusive, strict=True):
        frame = frame_map(file.size, header, reading, f"{file.path} of {image.name}")
        if frame is None:
            continue
        objects = (
            ParsedObject(
                class_id, frame.box(one.edges(inclusive=inclusive)), difficult=one.difficult
            )
            for class_id, one in known_objects(file, finder, reading.problems)
        )
        records.append(
            build_record(image, header.size, objects, image_id=len(records), reading=reading)
        )
    return records


def known_objects(
    file: VocFile, finder: ClassFinder, problems: Problems
) -> Iterator[tuple[int, VocObject]]:
    """Yield class and object for a file's objects of requested classes; count their problems."""
    for found in file.objects():
        class_id = finder.find(found.name)
        if class_id is None:
            continue
        found.tell(f"{file.path}: {found.name}", problems)
        if found.is_complete:
            yield class_id, found


def _tell_other_images(files: Sequence[tuple[Path, VocFile]], problems: Problems) -> None:
    """Count the files whose `<filename>` is that of another image of the set.

    A name that no image has is no problem, because images and folders are often renamed.
    """
    names = {image.name.lower() for image, _ in files}
    stems = {image.stem.lower() for image, _ in files}
    for image, file in files:
        said = file.filename.lower()
        stem = said.rpartition(".")[0] or said
        if (
            image.name.lower() != said
            and image.stem.lower() != stem
            and (said in names or stem in stems)
        ):
            problems.add(OTHER_IMAGE, f"{file.path} of {image.name} says {file.filename}")


FORMAT = Format(read=read, words=("voc:raw", "det-voc:raw"), suffix=".xml")
