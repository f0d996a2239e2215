"""The steps of `detex prepare` in their order, and the account of what they did."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.engine.config.smells import unknown_smells
from app.engine.config.unknown import did_you_mean
from app.engine.data.datasets.account import refuse_what_stops, table
from app.engine.data.datasets.filters import count_classes
from app.engine.data.formats import Reading
from app.engine.data.problems import Effect
from app.engine.data.smells.scent import Scent
from app.engine.data.smells.table import sniff
from app.engine.errors import ConfigError, DatasetError
from app.engine.structures.record import ImageRecord
from app.exchange.new_folder import new_folder
from app.exchange.prepare import first_config
from app.exchange.prepare.assets import names_of, place_images
from app.exchange.prepare.classes import choose_classes
from app.exchange.prepare.coco_file import write_coco
from app.exchange.prepare.division import Division, Images, divide
from app.exchange.prepare.duplicates import groups_of_copies
from app.exchange.prepare.in_folder import what_is_wrong, write_account
from app.exchange.prepare.model_folder import copy_model, models_in
from app.exchange.prepare.request import PrepareRequest
from app.exchange.sources import SOURCES, Content, Place, Request, Split, recognised
from common.text import printable

COPY = "image that (nearly) repeats another one (the two never lie on both sides)"

_LAYOUT_OPTION = "--from"
_SMELLS_OPTION = "--accepted-smells"
_SHOWN_SETS = {"test": "test (kept apart)"}
_SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call did.

    lines        the account for people: what was read, what was left out, what was written
    account      the same for programs, as it is in the folder
    is_labelled  whether the folder is for a training, not for mining and infer
    """

    lines: Sequence[str]
    account: Mapping[str, Any]
    is_labelled: bool


@dataclass(frozen=True, slots=True)
class _Data:
    """What is to be written.

    names     of the images, below `assets`
    division  None for candidates of mining and infer
    """

    reading: Reading
    num_listed: int
    records: Sequence[ImageRecord]
    names: Sequence[str]
    division: Division | None

    def of(self, split: Split) -> list[ImageRecord]:
        """The records of a set."""
        return [self.records[index] for index in self._indices(split)]

    def names_of(self, split: Split) -> list[str]:
        """The names of a set's images."""
        return [self.names[index] for index in self._indices(split)]

    def _indices(self, split: Split) -> Sequence[int]:
        return () if self.division is None else self.division.sets[split]


def prepare(request: PrepareRequest, say: Callable[[str], None] = lambda text: None) -> Outcome:
    """Make the folder `request.out`.

    say  is told what begins, since each step may take minutes

    Raises ConfigError for a wrong request, another EngineError if the source cannot be read
    rightly, and OSError if writing fails.
    """
    _refuse_wrong_request(request)
    model = None if request.model is None else models_in(request.model)
    place = Place.of(request.source, request.images)
    if request.layout:
        layout, sign = request.layout, f"{_LAYOUT_OPTION} says so"
    else:
        layout, sign = recognised(place, option=_LAYOUT_OPTION)
    source = SOURCES[layout]
    with new_folder(request.out) as folder:
        scratch = folder / "scratch"
        scratch.mkdir()
        say(f"reading {request.source} as {layout}")
        content = source.read(Request(place, scratch, request.conventions))
        _refuse_what_is_wrong(content, place, request, is_labelled=source.is_labelled)
        roots = [place.root, scratch]
        say(f"looking for copies among {len(content.records)} images, and dividing them")
        data = _labelled(content, roots, request) if source.is_labelled else _all(content, roots)
        say(f"writing {request.out}")
        account = {"source": layout, **_account(data, request, is_labelled=source.is_labelled)}
        num_copies = _write(folder, data, request, is_labelled=source.is_labelled)
        shutil.rmtree(scratch)
        if model is not None:
            copy_model(model, folder / "models")
        write_account(folder, account)
    lines = [f"{request.source} is read as {layout}: {sign}", *_lines(data, num_copies)]
    return Outcome(lines, account, is_labelled=source.is_labelled)


def _refuse_wrong_request(request: PrepareRequest) -> None:
    wrong = what_is_wrong(request.source, request.out, replace=request.replace)
    if request.layout not in ("", *SOURCES):
        near = did_you_mean(request.layout, SOURCES)
        wrong = f"{_LAYOUT_OPTION} {request.layout}: no such layout{near}; {', '.join(SOURCES)}"
    if not 0 <= request.val < 1:
        wrong = f"--val {request.val:g}: the share for validation is from 0 to less than 1"
    wrong = wrong or "; ".join(unknown_smells(request.accepted_smells))
    if wrong:
        raise ConfigError(wrong)


def _refuse_what_is_wrong(
    content: Content, place: Place, request: PrepareRequest, *, is_labelled: bool
) -> None:
    """Raise DatasetError if nothing can be read, or for a smell that stops."""
    problems = content.reading.problems
    refuse_what_stops(problems, "source")
    if not content.records:
        lost = problems.with_effect(Effect.BROKEN, Effect.LEFT_OUT)
        why = [f"{number} x {problems.told(kind)}" for kind, number in lost.items()]
        raise DatasetError(
            f"{place.root}: no image can be used: {why[0] if why else 'there is none'}"
        )
    if is_labelled:
        scent = Scent(content.records, content.reading, is_xywh=content.is_xywh)
        sniff("source", scent, request.accepted_smells, key=_SMELLS_OPTION)


def _labelled(content: Content, roots: Sequence[Path], request: PrepareRequest) -> _Data:
    """Choose classes and divide the images."""
    problems = content.reading.problems
    num_listed = content.num_listed
    records, class_names = choose_classes(
        content.records, content.reading.class_names, request.class_names, problems
    )
    paths = [record.path for record in records]
    names = names_of(paths, roots)
    copies = groups_of_copies(paths)
    for group in copies:
        for index in group[1:]:
            problems.add(COPY, f"{names[index]} and {names[group[0]]}")
    images = Images(names, paths, [content.splits.get(path) for path in paths], copies)
    division = divide(images, request.rule, val=request.val, seed=request.seed, problems=problems)
    reading = replace(content.reading, class_names=class_names)
    return _Data(reading, num_listed, records, names, division)


def _all(content: Content, roots: Sequence[Path]) -> _Data:
    """All images as candidates."""
    names = names_of([record.path for record in content.records], roots)
    return _Data(content.reading, content.num_listed, content.records, names, None)


def _write(folder: Path, data: _Data, request: PrepareRequest, *, is_labelled: bool) -> int:
    """Write everything but the account; return the number of images that were copied."""
    assets = folder / "assets"
    if not is_labelled:
        paths = [record.path for record in data.records]
        _write_index(folder / "candidate-index.tsv", data.names, "")
        (folder / "config.yaml").write_text(first_config.candidate_config(), encoding="utf-8")
        for task in ("mining", "infer"):
            text = first_config.environment(task)
            (folder / f"env-{task}.yaml").write_text(text, encoding="utf-8")
        return place_images(paths, data.names, assets)
    num_copies = 0
    (folder / "annotations").mkdir()
    for split in _SPLITS:
        records, names = data.of(split), data.names_of(split)
        if split == "train" or records:
            num_copies += place_images([record.path for record in records], names, assets)
            annotation = f"annotations/{split}.json"
            write_coco(folder / annotation, records, names, data.reading.class_names)
            _write_index(folder / f"{split}-index.tsv", names, f"\t/in/{annotation}")
    config = first_config.training_config(request, data.of("train"), data.reading.class_names)
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    (folder / "env.yaml").write_text(first_config.environment("training"), encoding="utf-8")
    return num_copies


def _write_index(path: Path, names: Sequence[str], behind: str) -> None:
    lines = "".join(f"/in/assets/{name}{behind}\n" for name in names)
    path.write_bytes(lines.encode("utf-8", "surrogateescape"))


def _account(data: _Data, request: PrepareRequest, *, is_labelled: bool) -> dict[str, Any]:
    """The numbers for programs."""
    problems = data.reading.problems
    found: dict[str, Any] = {
        "folder": str(request.out),
        "images": {"listed": data.num_listed, "usable": len(data.records)},
        "problems": [
            {
                "what": kind,
                "number": number,
                "effect": effect.name.lower(),
                "examples": problems.examples(kind),
            }
            for effect in Effect
            for kind, number in problems.with_effect(effect).items()
        ],
    }
    if is_labelled and data.division is not None:
        found["division"] = data.division.how
        found["classes"] = list(data.reading.class_names)
        found["sets"] = {split: _numbers(data, split) for split in _SPLITS}
    return found


def _numbers(data: _Data, split: Split) -> dict[str, Any]:
    records, class_names = data.of(split), data.reading.class_names
    counts = count_classes(records, len(class_names)).tolist()
    return {
        "images": len(records),
        "images_without_objects": sum(len(record) == 0 for record in records),
        "objects": sum(map(len, records)),
        "objects_with_masks": sum(
            mask is not None for record in records for mask in record.segmentations or ()
        ),
        "objects_of_each_class": dict(zip(class_names, counts, strict=True)),
    }


def _lines(data: _Data, num_copies: int) -> list[str]:
    """The account for people."""
    reading = data.reading
    lines = [*map(printable, reading.remarks)]
    if data.division is None:
        lines.append(f"images listed  {data.num_listed}")
        lines.append(f"images usable  {len(data.records)}")
    else:
        kept = [record for split in _SPLITS for record in data.of(split)]
        lines += table(data.num_listed, kept, reading)
        lines.append(f"images are divided {data.division.how}")
        lines += _set_table(data)
    lines += [f"note: {line}" for line in reading.problems.lines()]
    if num_copies:
        lines.append(f"{num_copies} images were copied, since they could not be linked")
    return lines


def _set_table(data: _Data) -> list[str]:
    """One line for each set."""
    rows: list[tuple[str, ...]] = [("set", "images", "without objects", "objects", "with masks")]
    for split in _SPLITS:
        if split == "test" and not data.of(split):
            continue
        numbers = list(_numbers(data, split).values())[:4]
        rows.append((_SHOWN_SETS.get(split, split), *map(str, numbers)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
