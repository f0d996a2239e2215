"""The product's parsers that `parsers` attacks, each with the other files that it needs.

Each function takes the path of the hostile file and makes the other files in its folder.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

from app.engine.checkpoint.store import CheckpointStore
from app.engine.config import get_config
from app.engine.data.datasets.coco import empty_record, load_coco
from app.engine.data.datasets.lvis import load_lvis
from app.engine.data.datasets.panoptic import load_panoptic
from app.engine.data.datasets.proposals import attach_proposals
from app.engine.data.datasets.voc import load_voc
from app.engine.data.formats import FORMATS, Reading
from app.engine.data.images.depth import Depth
from app.engine.data.images.headers import image_header, image_size
from app.engine.data.images.reading import read_image, read_labels, stored_values
from app.engine.data.problems import Problems
from app.engine.data.smells.table import SMELLS
from app.engine.errors import EngineError
from app.engine.structures.record import ImageRecord
from app.engine.trained.model_files import find_model, package_class_names
from app.exchange.convert.run import ConvertRequest, convert
from app.exchange.sources import SOURCES, Place, Request
from app.exchange.targets import TARGETS
from app.tasks.args_options import parse_args_options
from executor.candidates import Candidates
from executor.config_check import check_config
from executor.env import load_env, salvaged_env
from executor.hyperparameters import load_hyperparameters
from executor.task_models import TRAITS
from executor.task_words import Task
from verification.fuzz import samples


def read_env(path: Path) -> None:
    """Read env.yaml, as a whole and as far as it can be salvaged."""
    salvaged_env(path)
    env = load_env(path)
    assert env.dialect.boxes_key
    env.require_tasks()


def read_settings(path: Path) -> None:
    """Read config.yaml for every task."""
    check_config(path, list(Task))
    for traits in TRAITS.values():
        load_hyperparameters(path, traits.settings)


def read_candidates(path: Path) -> None:
    """Read each candidate, in both orders."""
    candidates = Candidates(path)
    assert len(list(candidates)) == len(list(candidates.at(candidates.as_listed())))


def read_engine_config(path: Path) -> None:
    """Read a model's YAML, dump the config, and read the dump."""
    (path.parent / "base.yaml").write_text("MODEL: {META_ARCHITECTURE: RetinaNet}\nVERSION: 2\n")
    cfg = get_config()
    cfg.merge_from_file(path)
    again = path.with_name("again.yaml")
    again.write_text(cfg.dump(), encoding="utf-8")
    other = get_config()
    other.merge_from_file(again)
    assert other.dump() == cfg.dump()


def read_options(path: Path) -> None:
    """Read the text as `args_options` of config.yaml, which its errors must name."""
    text = path.read_bytes().decode("utf-8", "replace")
    try:
        get_config().merge_from_list(parse_args_options(text).overrides)
    except EngineError as error:  # the bridge merges it, and its errors name the place
        raise EngineError(f"{path.name}: {error}") from error


def read_package(path: Path) -> None:
    """Read a platform's package: its description, and the model in it."""
    folder = path.parent
    (folder / "a").mkdir(exist_ok=True)
    (folder / "a/model.pth").write_bytes(b"")
    (folder / "ymir-info.yaml").write_bytes(path.read_bytes())
    try:
        package_class_names(folder)
    except EngineError as error:
        raise EngineError(str(error).replace("ymir-info.yaml", path.name)) from error
    assert find_model([], folder).weights.is_relative_to(folder)


@cache
def _image_file(folder: Path, name: str = "image.png") -> Path:
    samples.picture().save(folder / name)
    return folder / name


def read_annotation(word: str) -> Callable[[Path], None]:
    """Return a reader of the annotation format that `word` names."""

    def read(path: Path) -> None:
        reading = Reading(["cat", "dog"])
        image = _image_file(path.parent)
        records = FORMATS[word]([(image, path)], reading)
        for record in records:
            _check_record(record)
        _check_lines(reading.problems)

    return read


def _check_lines(problems: Problems) -> None:
    for line in problems.lines():
        assert line.isprintable()
        assert len(line) < 1000


def _check_record(record: ImageRecord, num_classes: int = 2) -> None:
    """Check what training relies on: boxes have an area and lie in the image, classes exist."""
    x0, y0, x1, y1 = record.boxes.T
    assert ((x1 - x0 > 0) & (y1 - y0 > 0)).all()
    assert (record.boxes >= 0).all()
    assert (x1 <= record.width).all()
    assert (y1 <= record.height).all()
    assert ((record.classes >= 0) & (record.classes < num_classes)).all()


def read_datasets(path: Path) -> None:
    """Read one file as a user's COCO file, and as LVIS; raise the first error."""
    for name in ("image.png", "other.png"):
        _image_file(path.parent, name)
    smells = frozenset(SMELLS)
    for record in load_coco(path, path.parent, accepted_smells=smells).records:
        _check_record(record)
    load_lvis(path, path.parent)


def read_source(layout: str) -> Callable[[Path], None]:
    """Return a reader of the layout of `detex prepare` that has this name."""

    def read(path: Path) -> None:
        folder = path.parent
        for name in ("image.png", "images/train/1.png", "images/val/2.png"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _image_file(folder, name)
        (folder / "labels/train").mkdir(parents=True, exist_ok=True)
        (folder / "labels/train/1.txt").write_text(samples.YOLO)
        (folder / "list.txt").write_text("images/val/2.png\nlost.png\n")
        scratch = folder / "scratch"
        scratch.mkdir(exist_ok=True)
        source = SOURCES[layout]
        source.recognise(Place.of(path))
        try:
            content = source.read(Request(Place.of(path), scratch))
        except EngineError as error:
            raise EngineError(f"{path.name}: {error}") from error
        for record in content.records:
            _check_record(record, len(content.reading.class_names))
        _check_lines(content.reading.problems)

    return read


def read_found(path: Path) -> None:
    """Read a result of infer and write it in every layout of `detex convert`."""
    photos, out = path.parent / "photos", path.parent / "converted"  # some layouts hold images
    photos.mkdir(exist_ok=True)
    for name in ("image.png", "other.png"):
        _image_file(photos, name)
    for target in TARGETS:
        summary = convert(
            ConvertRequest(result=path, target=target, out=out, images=photos, replace=True)
        )
        _check_lines(summary.problems)


def read_panoptic(path: Path) -> None:
    """Read COCO's panoptic JSON, beside the instances of the same images."""
    folder = path.parent
    (folder / "instances.json").write_text(json.dumps(samples.COCO))
    for name in ("image.png", "other.png"):
        _image_file(folder, name)
    load_panoptic(
        folder / "instances.json",
        folder,
        panoptic_json=path,
        panoptic_dir=folder,
        semantic_dir=folder,
    )


def read_voc_folder(path: Path) -> None:
    """Read a list of images in PASCAL VOC's folders."""
    folder = path.parent
    for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _image_file(folder / "JPEGImages", "x.jpg")
    (folder / "Annotations/x.xml").write_text(samples.VOC)
    (folder / "ImageSets/Main/train.txt").write_bytes(path.read_bytes())
    try:
        load_voc(folder, "train", ("cat", "dog"))
    except EngineError as error:
        raise EngineError(f"{path.name}: {error}") from error


def read_picture(path: Path) -> None:
    """Read an image: its size, its pixels with and without a decided depth, and as a label map."""
    try:
        size = image_size(path)
    except EngineError:
        size = None
    pixels = read_image(path)
    assert pixels.shape == (*(size or pixels.shape[:2]), 3)
    assert pixels.dtype == "uint8"
    for read in (
        read_labels,  # most pictures are no label maps
        stored_values,
        partial(image_header, whole=True),
        partial(read_image, format="L", depth=Depth(bits=12, float_white=1.0)),
    ):
        with suppress(EngineError):
            read(path)


def read_store(path: Path) -> None:
    """Read the manifest of a run's checkpoints; a damaged one counts as missing."""
    for slot in ("a.pt", "b.pt"):
        (path.parent / slot).write_bytes(samples.torch_files()[0][:100])
    assert CheckpointStore(path.parent).load() is None


def read_proposals(path: Path) -> None:
    """Read precomputed proposals of two images."""
    image = _image_file(path.parent)
    records = [empty_record(image, (24, 32), number) for number in (1, 2)]
    attach_proposals(records, path)
    for record in records:
        boxes, logits = record.extra["proposals"]
        assert boxes.shape == (len(logits), 4)
