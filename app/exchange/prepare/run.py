"""The steps of `detex prepare` in their order, and the account of what they did."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.engine.config.smells import unknown_smells
from app.engine.config.unknown import did_you_mean
from app.engine.data.datasets.account import missing_classes, refuse_what_stops
from app.engine.data.problems import Effect
from app.engine.data.smells.scent import Scent
from app.engine.data.smells.table import sniff
from app.engine.errors import ConfigError, DatasetError
from app.exchange.new_folder import new_folder
from app.exchange.prepare.account import account_of, lines_of
from app.exchange.prepare.assets import names_of
from app.exchange.prepare.classes import choose_classes
from app.exchange.prepare.data import Data
from app.exchange.prepare.division import Images, divide
from app.exchange.prepare.duplicates import groups_of_copies
from app.exchange.prepare.in_folder import what_is_wrong, write_account
from app.exchange.prepare.model_folder import copy_model, models_in
from app.exchange.prepare.request import PrepareRequest
from app.exchange.prepare.write import write_task
from app.exchange.sources import SOURCES, Content, Place, Request, recognised

COPY = "image that (nearly) repeats another one (the two never lie on both sides)"
NOT_LEARNT = "class without an object in the training set (it cannot be learnt)"

_LAYOUT_OPTION = "--from"
_SMELLS_OPTION = "--accepted-smells"


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
        roots = [place.root, place.image_root, scratch]
        say(f"looking for copies among {len(content.records)} images, and dividing them")
        data = _labelled(content, roots, request) if source.is_labelled else _all(content, roots)
        say(f"writing {request.out}")
        account = account_of(data, request, layout=layout)
        num_copies = write_task(folder, data, request)
        shutil.rmtree(scratch)
        if model is not None:
            copy_model(model, folder / "models")
        write_account(folder, account)
    lines = [f"{request.source} is read as {layout}: {sign}", *lines_of(data, num_copies)]
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
            f"{place.root}: no image can be used: {why[0] if why else 'there is none'}; if the"
            " images are elsewhere, name their folder with --images"
        )
    if is_labelled:
        scent = Scent(content.records, content.reading, is_xywh=content.is_xywh)
        sniff("source", scent, request.accepted_smells, key=_SMELLS_OPTION)


def _labelled(content: Content, roots: Sequence[Path], request: PrepareRequest) -> Data:
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
    learnt = [records[index] for index in division.sets["train"]]
    for name in missing_classes(learnt, class_names):
        problems.add(NOT_LEARNT, name)
    reading = replace(content.reading, class_names=class_names)
    return Data(reading, num_listed, records, names, division)


def _all(content: Content, roots: Sequence[Path]) -> Data:
    """All images as candidates."""
    names = names_of([record.path for record in content.records], roots)
    return Data(content.reading, content.num_listed, content.records, names, None)
