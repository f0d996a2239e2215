"""`detex show SOURCE`: pictures of what was labelled, of what was found, or of both."""

import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
import typer
from pycocotools import mask as coco_mask

from app.detex.gallery import Gallery, Section, Shown
from app.detex.task_folders import mount_input, refusal_of_input
from app.engine.data.formats import Conventions, Decisions
from app.engine.data.problems import Effect
from app.engine.drawing import Marks
from app.engine.drawing.keypoints import PERSON_EDGES
from app.engine.errors import DatasetError, EngineError, ImageError
from app.engine.structures.record import ImageRecord
from app.engine.structures.run_lengths import object_codes
from app.exchange.detected import DetectedImage, DetectedObject
from app.exchange.new_folder import new_folder
from app.exchange.results import read_result, result_file
from app.tasks.failures import told
from app.tasks.records import parse_records
from common.text import counted, printable
from executor.dataset_reader import Asset, iter_index, read_val_index
from executor.env import Env, load_env
from executor.errors import ConfigError, ExecutorError
from executor.hyperparameters import TrainHyperparameters, load_hyperparameters

logger = logging.getLogger("app.detex")

T = TypeVar("T")

_MARK = ".detex-show"
"""A file that is in every folder made here, so that such a folder may be replaced."""

_NUM_PERSON_KEYPOINTS = 17


@dataclass(frozen=True, slots=True)
class ShowRequest:
    """All arguments of one call.

    source     a task's folder; or an /out of infer, or its result file, with
    input_dir  the /in that it was made from
    out        the folder to make
    number     pictures of each set; 0: all images
    threshold  objects that were found with a lower score are left out
    """

    source: Path
    input_dir: Path | None
    out: Path
    number: int
    threshold: float


def report(request: ShowRequest, *, as_json: bool) -> int:
    """Draw, and say where the pictures are; return the exit status."""
    logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr, force=True)
    try:
        gallery, lines = _show(request)
    except (EngineError, ExecutorError, OSError) as error:
        known = told(error)
        typer.echo(f"detex: {printable(str(known))}", err=True)
        return known.exit_status
    left_out = gallery.problems.with_effect(Effect.LEFT_OUT)
    if as_json:
        said = {"out": str(request.out), "pictures": gallery.num_pictures, "left_out": left_out}
        typer.echo(json.dumps({**said, "sets": lines}, ensure_ascii=False))
        return 0
    for line in (*lines, *gallery.problems.lines()):
        typer.echo(printable(line))
    typer.echo(
        f"{gallery.num_pictures} pictures: {request.out}/index.html, {request.out}/sheet.jpg"
    )
    return 0


def _show(request: ShowRequest) -> tuple[Gallery, list[str]]:
    out = request.out
    _refuse_out(out)
    class_names, sections = _sections(request)
    with new_folder(out) as folder:
        gallery = Gallery(folder, class_names)
        for section in sections:
            gallery.add(section)
        if not gallery.num_pictures:
            reasons = "; ".join(gallery.problems.lines()) or "there is none"
            raise ImageError(f"{request.source}: no image can be drawn ({reasons})")
        gallery.write_pages(str(request.source))
        (folder / _MARK).touch()
    return gallery, [f"{section.title}: {section.about}" for section in sections]


def _refuse_out(out: Path) -> None:
    is_free = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    if not is_free and not (out / _MARK).is_file():
        raise ConfigError(f"--out {out}: is there and was not made by show; name a new folder")


def _sections(request: ShowRequest) -> tuple[list[str], list[Section]]:
    """Return the names of the classes and the sections of a source."""
    if _is_task_folder(request.source):
        if request.input_dir is not None:
            raise ConfigError(
                f"{request.source} is a task's folder, which has its own images; leave --in out, or"
                " name the /out of an infer"
            )
        return _labelled(request.source, request.number)
    return _found(request)


def _is_task_folder(source: Path) -> bool:
    names = ("train-index.tsv", "val-index.tsv", "env.yaml")
    return source.is_dir() and any((source / name).is_file() for name in names)


def spread(items: Sequence[T], number: int) -> Sequence[T]:
    """Return at most `number` items (0: all), evenly spaced."""
    if not number or len(items) <= number:
        return items
    return [items[index * len(items) // number] for index in range(number)]


def _by_class(names: Iterable[str]) -> str:
    """Return `12 objects (8 cat, 4 dog)`."""
    counts = Counter(names)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{count} {name}" for name, count in ordered[:10])
    more = ", ..." if len(counts) > 10 else ""
    return f"{counted(counts.total(), 'object')}{f' ({shown}{more})' if shown else ''}"


# --- What was labelled ---


def _labelled(folder: Path, number: int) -> tuple[list[str], list[Section]]:
    env = load_env(mount_input(folder))
    settings = load_hyperparameters(env.input.config_file, TrainHyperparameters)
    names = list(settings.class_names)
    sections = []
    for title, records, num_listed in _labelled_sets(env, settings):
        chosen = spread(records, number)
        images = [Shown(each.path, each.path.name, _marks_of(each)) for each in chosen]
        about = (
            f"{len(chosen)} of {num_listed} images, {_by_class(_names_in(records, names))} in all"
        )
        sections.append(Section(title, about, images))
    if not any(section.images for section in sections):
        raise DatasetError(
            f"{folder}: the training and the validation index list no labelled image that can be"
            f" used; `detex check {folder}` says why, and `detex detect` looks at bare images"
        )
    return names, sections


def _labelled_sets(
    env: Env, settings: TrainHyperparameters
) -> Iterator[tuple[str, list[ImageRecord], int]]:
    """Yield name, records and number of listed images of the sets whose index is there."""
    inputs = env.input
    parse = partial(
        parse_records,
        export_format=settings.export_format,
        class_names=settings.class_names,
        conventions=Conventions(settings.annotated_frame, settings.box_corners),
        decisions=Decisions(),  # of the training set, which apply to both
    )
    for title, index in (
        ("training", inputs.training_index_file),
        ("validation", inputs.val_index_file),
    ):
        if index is not None and index.is_file():
            # `read_val_index` reads any index: it asks for no labels.
            assets: list[Asset] = read_val_index(index)
            if assets:
                parsed = parse(assets)
                parsed.reading.problems.report(logger)
                yield title, parsed.records, parsed.num_listed


def _marks_of(record: ImageRecord) -> Marks:
    codes = object_codes(record)
    masks = None
    if any(code is not None for code in codes):
        empty = np.zeros(record.size, dtype=np.bool_)
        masks = np.stack(
            [empty if c is None else coco_mask.decode(c).astype(np.bool_) for c in codes]
        )
    points = record.keypoints
    is_person = points is not None and points.shape[1] == _NUM_PERSON_KEYPOINTS
    edges = PERSON_EDGES if is_person else ()
    return Marks(record.boxes, record.classes, None, masks, points, edges)


def _names_in(records: Sequence[ImageRecord], names: Sequence[str]) -> Iterator[str]:
    return (names[index] for record in records for index in record.classes)


# --- What was found ---


def _found(request: ShowRequest) -> tuple[list[str], list[Section]]:
    path = result_file(request.source)
    result = read_result(path)
    files = _own_files(result.images)
    labels: Mapping[Path, Marks] = {}
    names: list[str] = []
    if request.input_dir is not None:
        wrong = refusal_of_input("--in", request.input_dir)
        if wrong:
            raise ConfigError(wrong)
        env = load_env(mount_input(request.input_dir, task="infer"))
        files = _files_of_index(result.images, env.input.candidate_index_file, path)
        labels, names = _labels(env)
    if not any(files):
        raise ConfigError(
            f"{path}: does not say where its images are; add --in DIR, the task's /in"
        )
    names = list(dict.fromkeys([*names, *result.class_names, *sorted(_all_names(result.images))]))
    pairs = [(image, file) for image, file in zip(result.images, files, strict=True) if file]
    chosen = spread(pairs, request.number)
    kept = partial(_above, threshold=request.threshold)
    images = [
        Shown(file, image.name, _marks_of_found(image, kept, names), labels.get(file.resolve()))
        for image, file in chosen
    ]
    objects = [each.class_name for image in result.images for each in image.objects if kept(each)]
    about = (
        f"{len(chosen)} of {len(pairs)} images, {_by_class(objects)} in all with a score from"
        f" {request.threshold:g}"
    )
    num_labelled = sum(shown.labelled is not None for shown in images)
    if request.input_dir is not None:
        about += f"; labels of {num_labelled} are dashed" if num_labelled else "; without labels"
    return names, [Section("found", about, images)]


def _above(found: DetectedObject, *, threshold: float) -> bool:
    return found.score >= threshold


def _all_names(images: Sequence[DetectedImage]) -> set[str]:
    return {each.class_name for image in images for each in image.objects}


def _own_files(images: Sequence[DetectedImage]) -> list[Path | None]:
    """Return the images' own paths, as `detect` writes them; None where they are not valid."""
    return [
        Path(image.name) if "/" in image.name and Path(image.name).is_file() else None
        for image in images
    ]


def _files_of_index(
    images: Sequence[DetectedImage], index: Path | None, result: Path
) -> list[Path | None]:
    """Return the candidates, which infer's result has in the order of the index."""
    if index is None or not index.is_file():
        raise DatasetError(f"--in: there is no candidate index; name the /in that {result} is of")
    files: list[Path | None] = [asset.image for asset in iter_index(index)]
    same = [
        file is not None and file.name == PurePosixPath(image.name).name
        for image, file in zip(images, files, strict=False)
    ]
    if len(images) != len(files) or not all(same):
        raise DatasetError(
            f"{result}: has {len(images)} images and {index} {len(files)}, or others; name the /in"
            " that this result was made from"
        )
    return files


def _labels(env: Env) -> tuple[Mapping[Path, Marks], list[str]]:
    """Return the labels of images that --in has, too, by path; none without class_names."""
    with suppress(ExecutorError):
        settings = load_hyperparameters(env.input.config_file, TrainHyperparameters)
        records = [each for _, found, _ in _labelled_sets(env, settings) for each in found]
        labels = {record.path.resolve(): _marks_of(record) for record in records}
        return labels, list(settings.class_names)
    return {}, []


def _marks_of_found(
    image: DetectedImage, kept: Callable[[DetectedObject], bool], names: Sequence[str]
) -> Marks:
    objects = sorted(filter(kept, image.objects), key=lambda each: -each.score)
    codes = [each.mask for each in objects if each.mask is not None]
    masks = None
    if codes and len(codes) == len(objects):
        masks = coco_mask.decode(codes).transpose(2, 0, 1).astype(np.bool_)
    return Marks(
        np.array([each.box for each in objects], dtype=np.float32).reshape(-1, 4),
        np.array([names.index(each.class_name) for each in objects], dtype=np.int64),
        np.array([each.score for each in objects], dtype=np.float32),
        masks,
    )
