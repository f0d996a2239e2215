"""`detex detect PATHS`: what a trained model finds in images, folders and patterns."""

import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from app.detex.detections import WRITERS
from app.detex.display import MAIN_SHARE, Show, Work, bar, plain
from app.engine.data.images.finding import find_images
from app.engine.errors import ConfigError, ImageError
from app.engine.trained.found import PICTURE_SUFFIXES, Found
from app.engine.trained.model import Model, load_model
from app.tasks.failures import told
from app.tasks.unreadable import Unreadable
from app.tasks.workers import limited_workers
from common.text import counted
from executor.errors import StoppedError

logger = logging.getLogger("app.detex")

DEFAULT_MODEL = Path("out/models")
"""Where `detex train --out out` leaves its model."""

_BATCH_SIZE = 4  # as in infer
_NUM_WORKERS = 2  # as in infer
_FEW = 8  # images for which no processes are started to read them


@dataclass(frozen=True)
class DetectRequest:
    """What `detex detect` is asked for.

    paths       files, folders and patterns
    model       see `load_model`; None: DEFAULT_MODEL
    threshold   lowest score
    pictures    folder for pictures with the objects drawn on them; None: no pictures
    form        a key of WRITERS
    image_size  shorter side in pixels; 0: as in the training
    tile_size, tile_overlap  see `load_model`
    device      auto, cpu, cuda:0, ...
    """

    paths: tuple[Path, ...]
    model: Path | None = None
    threshold: float = 0.3
    pictures: Path | None = None
    form: str = "table"
    image_size: int = 0
    tile_size: int = 0
    tile_overlap: int = 0
    device: str = "auto"


def report(request: DetectRequest) -> int:
    """Write what is found to standard output; return the exit status."""
    logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr, force=True)
    try:
        _detect(request)
    except KeyboardInterrupt:
        logger.error("interrupted; what is written is complete")
        return StoppedError.exit_status
    except BrokenPipeError:  # the reader, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except Exception as error:
        known = told(error)
        typer.echo(f"detex: {known}", err=True)
        return known.exit_status
    return 0


def _detect(request: DetectRequest) -> None:
    if not 0 <= request.threshold <= 1:
        raise ConfigError(f"--threshold is {request.threshold:g}; give a number from 0 to 1")
    _check_pictures(request)
    images = find_images(request.paths, without=request.pictures)
    pictures = _picture_files(images, request.pictures)
    model = _open(request, len(images))
    with _shown(len(images)) as show:
        _go_through(request, images, pictures, model, show)


def _check_pictures(request: DetectRequest) -> None:
    """Raise ConfigError if pictures would lie among the images that are looked at."""
    folder = request.pictures
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ConfigError(f"--draw {folder}: is no folder; name one for the pictures")
    for path in request.paths:
        if folder is not None and path.is_dir() and path.resolve() == folder.resolve():
            raise ConfigError(
                f"--draw {folder} is the folder of the images; name another one, so that no image"
                " is overwritten"
            )


def _open(request: DetectRequest, num_images: int) -> Model:
    path = request.model or DEFAULT_MODEL
    if request.model is None and not path.exists():
        raise ConfigError(
            f"there is no {path} here, which is used when no model is named; name one with"
            " --model DIR (a folder of models, a stage, weights or an .onnx file)"
        )
    return load_model(
        path,
        device=request.device,
        image_size=request.image_size,
        tile_size=request.tile_size,
        tile_overlap=request.tile_overlap,
        batch_size=0 if num_images == 1 else _BATCH_SIZE,
        lowest_score=request.threshold,
    )


def _go_through(
    request: DetectRequest,
    images: Mapping[Path, Path],
    pictures: Mapping[Path, Path],
    model: Model,
    show: Show,
) -> None:
    start, num_read, num_empty, num_objects = time.perf_counter(), 0, 0, 0
    writer = WRITERS[request.form](model.class_names)
    unreadable = Unreadable(len(images))
    num_workers = limited_workers(_NUM_WORKERS) if len(images) > _FEW else 0
    stream = model.detect_files(images, threshold=request.threshold, num_workers=num_workers)
    try:
        for number, (path, found) in enumerate(stream, start=1):
            if isinstance(found, ImageError):
                writer.unreadable(path, str(found))
                unreadable.note(found)
            else:
                unreadable.note(None)
                writer.add(path, found)
                _draw(found, pictures.get(path))
                num_read += 1
                num_objects += len(found)
                num_empty += not len(found)
            show(MAIN_SHARE * number / len(images))
    finally:
        unreadable.report()
    unreadable.require_any(num_read)
    seconds = time.perf_counter() - start
    sums = {"images": len(images), "unreadable": len(images) - num_read, "objects": num_objects}
    names = {"class_names": list(model.class_names)}
    writer.end({"status": 0, **sums, "seconds": round(seconds, 1), **names})
    show(1.0)
    typer.echo(
        f"{counted(num_objects, 'object')} in {counted(num_read, 'image')} ({num_empty:,} without"
        f" objects, {len(images) - num_read:,} unreadable) in {seconds:.1f} s"
        f"{f'; pictures: {request.pictures}' if request.pictures else ''}",
        err=True,
    )


def _draw(found: Found, path: Path | None) -> None:
    if path is None:
        return
    try:
        found.draw(path)
    except ImageError as error:  # the file is gone since it was looked at
        logger.warning("not drawn: %s", error)


def _picture_files(images: Mapping[Path, Path], folder: Path | None) -> dict[Path, Path]:
    """Return the file of each image's picture; ConfigError if that is the image itself."""
    if folder is None:
        return {}
    files: dict[Path, Path] = {}
    taken: set[Path] = set()
    for image, name in images.items():
        known = image.suffix.lower() in PICTURE_SUFFIXES
        file = first = folder / (name if known else f"{name}.jpg")
        number = 1
        while file in taken:  # files of one name from several folders
            number += 1
            file = first.with_stem(f"{first.stem}-{number}")
        if file.exists() and file.samefile(image):
            raise ConfigError(
                f"--draw {folder} is where {image.name} itself lies; name another folder, so that"
                " no image is overwritten"
            )
        taken.add(file)
        files[image] = file
    return files


@contextmanager
def _shown(num_images: int) -> Iterator[Show]:
    """Show a bar where standard error is a terminal; below the table, if that is there, too."""
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    if not is_terminal or num_images == 1:
        with plain() as show:
            yield show
        return
    with bar("detect", Work(num_images, "images"), on=1 if sys.stdout.isatty() else 2) as show:
        yield show
