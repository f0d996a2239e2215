"""Read a result, find its images, choose objects, and write them."""

import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from pycocotools.mask import area

from app.engine.data.images.headers import image_size
from app.engine.data.problems import Effect, Problems
from app.engine.errors import DatasetError, ImageError
from app.engine.structures.run_lengths import Rle
from app.engine.structures.size import Size
from app.exchange.convert.image_files import common_folder, find_images
from app.exchange.detected import Box, DetectedImage, DetectedObject, DetectedSet
from app.exchange.new_folder import new_folder
from app.exchange.results import read_result
from app.exchange.targets import TARGETS, Target

OUTSIDE = "box outside its image or without area (dropped)"
NO_IMAGE = "image of the result that is not in the folder of images (left out)"
UNREADABLE = "image that cannot be read, so its size is not known (left out)"
EMPTY_MASK = "mask that is empty or of another size than its image (the box is written)"
ODD_NAME = "image whose name has characters that files of labels cannot hold (left out)"
SHARED_FILE = (
    "image whose file of labels would be that of another image, as of a.jpg and a.png (left out)"
)
NO_KEYPOINTS = "object with keypoints, which are not written (its box and mask are)"
NO_SIZE = "image without width and height, since its size is not known; --images or --in adds them"
OTHER_SIZE = "image of another size than the result says (left out)"

_MARK = ".detex-convert"
"""A file that is in every folder made here, so that such a folder may be replaced."""


_THREADS = 16  # they hide the latency of network file systems


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertRequest:
    """All arguments of one call.

    result       the file of the result
    target       name of the layout
    out          the folder to make
    threshold    objects with a lower score are left off
    images       the folder of the images, or
    files        the images of the result in its order; None if neither is known
    class_names  the classes of the model, in its order, if known
    replace      whether an earlier result in `out` is replaced
    """

    result: Path
    target: str
    out: Path
    threshold: float = 0.0
    images: Path | None = None
    files: Sequence[Path] | None = None
    class_names: Sequence[str] = ()
    replace: bool = False


@dataclass(frozen=True, slots=True)
class ConvertSummary:
    """What was written.

    num_empty      number of images without objects
    num_below      number of objects with a score below the threshold
    objects        number of objects of each class
    class_names    the classes in the order in which they are numbered
    knows_classes  whether the order is the model's
    problems       what was left out or changed
    """

    num_images: int
    num_empty: int
    num_below: int
    objects: dict[str, int]
    class_names: list[str]
    knows_classes: bool
    problems: Problems = field(default_factory=Problems)


def convert(request: ConvertRequest) -> ConvertSummary:
    """Read, choose, write. Raises DatasetError if the result or an image cannot be told apart."""
    target = TARGETS[request.target]
    _refuse_out(request)
    problems = Problems()
    found = read_result(request.result)
    images = _placed(found.images, request, target, problems)
    if target.one_file_each:
        images = _distinct(images, problems)
    num_below = sum(
        not each.score >= request.threshold for image in images for each in image.objects
    )
    images = [_chosen(image, request.threshold, problems) for image in images]
    classes = _classes(found, images, request.class_names)
    with new_folder(request.out) as folder:
        target.write(DetectedSet(images, classes), folder, problems)
        (folder / _MARK).touch()
    return ConvertSummary(
        len(images),
        sum(not image.objects for image in images),
        num_below,
        dict(Counter(each.class_name for image in images for each in image.objects)),
        classes,
        bool(found.class_names or request.class_names),
        problems,
    )


def _refuse_out(request: ConvertRequest) -> None:
    out = request.out
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists() and not (out / _MARK).is_file():
        raise DatasetError(f"{out}: is there and was not made by convert; name a new folder")
    if out.exists() and not request.replace:
        raise DatasetError(f"{out}: is there already; name a new folder, or add --force")


def _placed(
    images: Sequence[DetectedImage], request: ConvertRequest, target: Target, problems: Problems
) -> list[DetectedImage]:
    """The images with their files, their sizes, and names that are paths from their folder."""
    files, root = _files([image.name for image in images], request)
    has_files = request.images is not None or any(files)
    needs_sizes = target.needs_sizes or has_files
    if needs_sizes and not has_files and images and all(image.size is None for image in images):
        raise DatasetError(
            f"{request.result}: has no sizes of images, and {request.target} needs them; add"
            " --images FOLDER, or --in FOLDER of the task"
        )
    placed = []
    for image, file, header in zip(images, files, _headers(files), strict=True):
        name = _bare(image.name) if file is None else file.relative_to(root).as_posix()
        if has_files and file is None:
            problems.add(NO_IMAGE, image.name, Effect.LEFT_OUT)
        elif not name.isprintable():
            problems.add(ODD_NAME, name, Effect.LEFT_OUT)
        elif file is None and not needs_sizes and image.size is None:
            problems.add(NO_SIZE, image.name)
            placed.append(replace(image, name=name))
        elif (size := _size(image, file, header, problems)) is not None:
            placed.append(replace(image, name=name, size=size, file=file))
    if images and not placed:
        reasons = "; ".join(problems.lines())
        raise DatasetError(f"{request.result}: no image is left ({reasons}); check --images")
    return placed


def _distinct(images: Sequence[DetectedImage], problems: Problems) -> list[DetectedImage]:
    """The images without those whose file of labels would be that of an earlier one."""
    first: dict[PurePosixPath, DetectedImage] = {}
    for image in images:
        if first.setdefault(PurePosixPath(image.name).with_suffix(""), image) is not image:
            problems.add(SHARED_FILE, image.name, Effect.LEFT_OUT)
    return list(first.values())


def _files(names: Sequence[str], request: ConvertRequest) -> tuple[Sequence[Path | None], Path]:
    """The file of each image of the result, as far as known, and a folder that holds them all."""
    if request.files is not None:
        _refuse_other_images(names, request.files, request.result)
        files: list[Path | None] = [file.absolute() for file in request.files]
    else:
        _refuse_repeated(names, request.result)
        if request.images is not None:
            found = find_images(names, request.images)
        else:
            # detect names images by their paths, which may still be valid.
            found = {name: Path(name) for name in names if "/" in name and Path(name).is_file()}
        files = [found[name].absolute() if name in found else None for name in names]
    if request.images is not None:
        return files, request.images.absolute()
    return files, common_folder(file for file in files if file is not None)


def _refuse_other_images(names: Sequence[str], files: Sequence[Path], result: Path) -> None:
    if len(names) != len(files):
        raise DatasetError(
            f"{result}: has {len(names)} images and the index of --in {len(files)}; name the folder"
            " that this result was made from, or use --images"
        )
    for number, (name, file) in enumerate(zip(names, files, strict=True), start=1):
        if PurePosixPath(name).name != file.name:
            raise DatasetError(
                f"{result}: image {number} is {name}, and in the index of --in {file}; name the"
                " folder that this result was made from, or use --images"
            )


def _refuse_repeated(names: Sequence[str], result: Path) -> None:
    name, count = next(iter(Counter(names).most_common(1)), ("", 0))
    if count > 1:
        raise DatasetError(
            f"{result}: {count} images are called {name}, which does not say which is which; add"
            " --in FOLDER of the task"
        )


def _headers(files: Sequence[Path | None]) -> list[Size | ImageError | None]:
    """The size of each file that there is, or why it cannot be read."""
    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(_header, files))


def _header(file: Path | None) -> Size | ImageError | None:
    try:
        return None if file is None else image_size(file)
    except ImageError as error:
        return error


def _size(
    image: DetectedImage, file: Path | None, header: Size | ImageError | None, problems: Problems
) -> Size | None:
    """The size of the file if it is at hand, else of the result; None, counted, if unknown."""
    if header is None:
        if image.size is None:
            problems.add(UNREADABLE, image.name, Effect.LEFT_OUT)
        return image.size
    if isinstance(header, ImageError):
        problems.add(UNREADABLE, str(header), Effect.LEFT_OUT)
        return None
    if image.size not in (None, header):
        problems.add(OTHER_SIZE, str(file), Effect.LEFT_OUT)
        return None
    return header


def _bare(name: str) -> str:
    """The path without a root and without steps upwards."""
    path = PurePosixPath(name)
    return "/".join(part for part in path.parts if part not in (path.anchor, ".."))


def _chosen(image: DetectedImage, threshold: float, problems: Problems) -> DetectedImage:
    """The image with the objects that count, clipped to it."""
    kept = []
    for each in image.objects:
        if not each.score >= threshold:
            continue
        box = _clipped(each.box, image.size)
        if box is None:
            problems.add(OUTSIDE, image.name, Effect.DROPPED)
        else:
            if each.has_keypoints:
                problems.add(NO_KEYPOINTS, image.name, Effect.CHANGED)
            kept.append(replace(each, box=box, mask=_mask(each, image.size, problems)))
    return replace(image, objects=kept)


def _clipped(box: Box, size: Size | None) -> Box | None:
    """The box within its image; None if nothing is left of it."""
    if not all(map(math.isfinite, box)):
        return None
    height, width = (math.inf, math.inf) if size is None else size
    x0, y0, x1, y1 = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _mask(found: DetectedObject, size: Size | None, problems: Problems) -> Rle | None:
    if found.mask is None or (found.mask["size"] == list(size or ()) and area(found.mask)):
        return found.mask
    problems.add(EMPTY_MASK, found.class_name, Effect.CHANGED)
    return None


def _classes(
    found: DetectedSet, images: Sequence[DetectedImage], known: Sequence[str]
) -> list[str]:
    """The classes of the result, else those that are known, else the ones found, by name."""
    names = found.class_names or list(known)
    met = {each.class_name for image in images for each in image.objects}
    return [*dict.fromkeys(names), *sorted(met.difference(names))]
