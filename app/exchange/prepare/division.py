"""Divide images between training and validation; copies of an image stay together.

A unit is a set of images that stay together: near-duplicates, or a whole folder. All orders are
those of the names, so the order in which files are found does not matter.

N: number of images
"""

import random
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from PIL import ExifTags, Image

from app.engine.data.images.decoding import DECODER_ERRORS
from app.engine.data.problems import Effect, Problems
from app.engine.errors import DatasetError
from app.exchange.prepare.request import Rule
from app.exchange.sources import Split

COPY_IN_TRAIN = "validation or test image that a training image (nearly) repeats (left out)"

_MOMENTS = (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized)

Sets = dict[Split, set[int]]
Units = list[list[int]]


@dataclass(frozen=True, slots=True)
class Images:
    """What is divided.

    names   (N) paths below the source, with / between folders
    paths   (N) files
    splits  (N) sets that the source says; None for none
    copies  groups of near-duplicates as positions
    """

    names: Sequence[str]
    paths: Sequence[Path]
    splits: Sequence[Split | None]
    copies: Sequence[Sequence[int]] = ()


@dataclass(frozen=True, slots=True)
class Division:
    """The positions of the images of each set, and how they were chosen, in words."""

    sets: dict[Split, list[int]]
    how: str


def divide(images: Images, rule: Rule, *, val: float, seed: int, problems: Problems) -> Division:
    """Divide by a rule; sets that the source says count under `auto` and `source`.

    val   share of the images for validation, 0 to 1
    seed  start of the random numbers

    A test set of the source is kept apart under every rule. Images left out are counted.
    Raises DatasetError if the rule cannot be followed.
    """
    is_said = "train" in images.splits
    if rule == "source" and not is_said:
        raise DatasetError("--split source: the source does not say which images are for training")
    if rule in ("auto", "source") and is_said:
        sets, how = _as_said(images), "as the source says"
        rest = sets["val"] - _copies_of(images, sets["train"]).keys()
        if not rest and val:
            why = "validates on its training images only" if sets["val"] else "has no validation"
            sets, drawn = _drawn(images, "random", val, seed)
            how = f"{how}, but it {why}: {drawn}"
    else:
        sets, how = _drawn(images, "random" if rule == "auto" else rule, val, seed)
    lost = _copies_of(images, sets["train"])
    for index, original in sorted(lost.items()):
        told = f"{images.names[index]} and {images.names[original]}"
        problems.add(COPY_IN_TRAIN, told, Effect.LEFT_OUT)
    return Division({name: sorted(chosen - lost.keys()) for name, chosen in sets.items()}, how)


def _as_said(images: Images) -> Sets:
    """The source's sets; images of none are for training."""
    sets: Sets = {"train": set(), "val": set(), "test": set()}
    for index, split in enumerate(images.splits):
        sets[split or "train"].add(index)
    return sets


def _copies_of(images: Images, training: set[int]) -> dict[int, int]:
    """The images of other sets that repeat a training image -> that image."""
    found: dict[int, int] = {}
    for group in images.copies:
        original = next((index for index in group if index in training), None)
        if original is not None:
            found |= {index: original for index in group if index not in training}
    return found


def _drawn(images: Images, rule: Rule, val: float, seed: int) -> tuple[Sets, str]:
    """Divide the images that are in no test set into training and validation; say how."""
    tests = {index for index, split in enumerate(images.splits) if split == "test"}
    pool = sorted(set(range(len(images.names))) - tests, key=lambda index: images.names[index])
    keys: dict[int, list[Hashable]] = {index: [] for index in pool}
    for number, group in enumerate(images.copies):
        for index in tests.symmetric_difference(group) - tests:
            keys[index].append(number)
    how = f"{val:.0%} for validation"
    if rule == "folder":
        for index in pool:
            keys[index].append(images.names[index].rpartition("/")[0])
        how = f"whole folders, {how} (--seed {seed})"
    units = _units(keys)
    if rule == "folder" and len(units) < 2 <= len(pool):
        raise DatasetError(
            "--split folder: all images lie in one folder, or copies of images connect the folders;"
            " choose random or time"
        )
    if rule == "time":
        moments = {index: moment_of(images.paths[index]) for index in pool}
        units.sort(key=lambda unit: min(moments[index][0] for index in unit), reverse=True)
        dated = sum(is_dated for _, is_dated in moments.values())
        how = (
            f"the latest {how}, by the date in EXIF of {dated} images and the time of the file of"
            f" {len(pool) - dated}"
        )
    else:
        random.Random(seed).shuffle(units)
    if rule == "random":
        how = f"at random, {how} (--seed {seed})"
    chosen = _chosen(units, val * len(pool), in_order=rule == "time") if val else set()
    return {"train": set(pool) - chosen, "val": chosen, "test": tests}, how


def _units(keys: Mapping[int, Iterable[Hashable]]) -> Units:
    """Join images that share a key, directly or through others, in the order of first images.

    keys  of each image, in the order of the images
    """
    parent: dict[int, int] = {}

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[Hashable, int] = {}
    for index, its_keys in keys.items():
        parent[index] = index
        for key in its_keys:
            parent[root(index)] = root(first.setdefault(key, index))
    units: dict[int, list[int]] = defaultdict(list)
    for index in parent:
        units[root(index)].append(index)
    return list(units.values())


def _chosen(units: Units, target: float, *, in_order: bool) -> set[int]:
    """The images of the first units that together come closest to `target` images.

    At least one unit is chosen and one is left, if there are two.
    in_order  stop at the first unit that is too large, as the latest images must stay together
    """
    chosen: set[int] = set()
    for number, unit in enumerate(units[:-1] or ()):
        before, after = abs(len(chosen) - target), abs(len(chosen) + len(unit) - target)
        if after < before or (not chosen and number == len(units) - 2):
            chosen.update(unit)
        elif in_order and chosen:
            break
    return chosen


def moment_of(path: Path) -> tuple[datetime, bool]:
    """When a photograph was taken, and whether EXIF says so; else the time of the file."""
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            inner = exif.get_ifd(ExifTags.IFD.Exif)
            texts = [*(inner.get(tag) for tag in _MOMENTS), exif.get(ExifTags.Base.DateTime)]
    except DECODER_ERRORS:
        texts = []
    for text in texts:
        try:
            return datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S"), True
        except ValueError:
            continue
    return datetime.fromtimestamp(path.stat().st_mtime), False
