"""Decide how many bits the images of a training set use, log it and write it to the config.

A file's header has the number of stored bits, not of used bits, which follows from the largest
value in a sample of the set. Images of floats are treated alike; their white may also be 1.
"""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from app.engine.config import CfgNode
from app.engine.data.images.depth import BITS, Depth
from app.engine.data.images.headers import is_deep
from app.engine.data.images.reading import stored_values
from app.engine.data.images.stored import Values
from app.engine.errors import DatasetError, ImageError

logger = logging.getLogger(__name__)

T = TypeVar("T")

NUM_HEADERS = 1000
"""Largest number of images whose header is read, spread over the set."""

NUM_MEASURED = 64
"""Largest number of images with more than 8 bits that are decoded."""

_VALUES_KEPT = 4096  # of each image, for the share of bright values
_SHARE = 0.999
_FLOAT_WHITES = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)
_OVERSHOOT = 2.0  # values of 0..1 that were resized or sharpened may exceed 1 a little
_THREADS = 16  # reading headers waits for the disk


@dataclass(frozen=True, slots=True)
class _Measured:
    """A sample of the values of one image, and the smallest and largest of all."""

    is_float: bool
    smallest: float
    largest: float
    sample: npt.NDArray[np.float64]


def with_depth(cfg: CfgNode, paths: Iterable[Path]) -> CfgNode:
    """Return the config with the depth of a training set's images; the user's settings are kept.

    Returns `cfg` itself if no image has more than 8 bits. Logs one line for integers and one for
    floats. Raises DatasetError if no value can be white.
    """
    # Strings sort five times as fast as paths.
    names = sorted({str(path) for path in paths})
    seen = [Path(name) for name in _spread(names, NUM_HEADERS)]
    deep = _deep_ones(seen)
    if not deep:
        return cfg
    integers, floats = _measure(deep)
    if not integers and not floats:
        logger.warning(
            "training set: images with more than 8 bits, for example %s, but none can be measured: "
            "INPUT.BITS_PER_SAMPLE stays %d",
            deep[0],
            cfg.INPUT.BITS_PER_SAMPLE,
        )
        return cfg
    where = f"training set: {len(deep)} of {len(seen)} images looked at have more than 8 bits"
    depth = Depth.from_config(cfg)
    decided = cfg.clone()
    decided.defrost()
    if integers:
        decided.INPUT.BITS_PER_SAMPLE = _bits(integers, depth.bits, where)
    if floats:
        decided.INPUT.FLOAT_WHITE = _float_white(floats, depth.float_white, where)
    decided.freeze()
    return decided


def measured_depth(paths: Sequence[Path]) -> Depth:
    """The depth that nearly all values of these images need; logs and raises nothing."""
    integers, floats = _measure(_deep_ones(paths))
    return Depth(
        bits=_bits_of(_bright(integers)) if integers else 0,
        float_white=max(_usual_white(_bright(floats)), _bright(floats)) if floats else 0.0,
    )


def _deep_ones(paths: Sequence[Path]) -> list[Path]:
    return [path for path, is_one in zip(paths, _each(_is_deep, paths), strict=True) if is_one]


def _measure(deep: Sequence[Path]) -> tuple[list[_Measured], list[_Measured]]:
    """Measure a sample of the images with more than 8 bits: (integer images, float images).

    Leaves out images that cannot be read.
    """
    found = _each(_measured, _spread(deep, NUM_MEASURED), threads=len(os.sched_getaffinity(0)))
    measured = [m for m in found if m is not None]
    return [m for m in measured if not m.is_float], [m for m in measured if m.is_float]


def _bits(measured: Sequence[_Measured], asked: int, where: str) -> int:
    """The number of bits that the user asked for, or else the fewest for the largest value."""
    _check_not_all_black(measured, "INPUT.BITS_PER_SAMPLE", where)
    largest = max(m.largest for m in measured)
    bits = asked or _bits_of(largest)
    _tell(measured, f"INPUT.BITS_PER_SAMPLE {bits}", asked, float(2**bits - 1), where)
    own = Counter(_bits_of(m.largest) for m in measured if m.largest > 0)
    num_shallow = sum(count for needed, count in own.items() if needed <= bits - 4)
    if len(own) > 1 and num_shallow > 0.1 * own.total():
        logger.warning(
            "%s, but of different depth: %s; those with few bits will look nearly black. Convert "
            "the images to one depth",
            where,
            ", ".join(f"{count} fit in {needed} bits" for needed, count in sorted(own.items())),
        )
    return bits


def _float_white(measured: Sequence[_Measured], asked: float, where: str) -> float:
    """The white that the user asked for, or else the smallest usual one for the largest value."""
    _check_not_all_black(measured, "INPUT.FLOAT_WHITE", where)
    largest = max(m.largest for m in measured)
    if not asked and largest > _FLOAT_WHITES[-1]:
        raise DatasetError(
            f"{where}, as floats up to {largest:g}; set INPUT.FLOAT_WHITE to the value that is to "
            "be white"
        )
    white = asked or _usual_white(largest)
    _tell(measured, f"INPUT.FLOAT_WHITE {white:g}", asked, white, where)
    return white


def _tell(
    measured: Sequence[_Measured], setting: str, asked: float, white: float, where: str
) -> None:
    largest = max(m.largest for m in measured)
    bright = _bright(measured)
    num_negative = sum(m.smallest < 0 for m in measured)
    logger.info(
        "%s; in %d of them the largest value is %g, and %g %% of the values are at most %g: %s%s, "
        "so %g is white%s",
        where,
        len(measured),
        largest,
        100 * _SHARE,
        bright,
        setting,
        " as set" if asked else "",
        white,
        f"; {num_negative} have values below 0, which are read as black" if num_negative else "",
    )
    if bright < white / 8:
        logger.warning(
            "%s: few values are bright, and the images will look nearly black with %s; if those "
            "few are faults, set it lower",
            where,
            setting,
        )
    if largest > white:
        logger.warning(
            "%s: values up to %g exceed white (%s) and are clipped to it", where, largest, setting
        )


def _bright(measured: Sequence[_Measured]) -> float:
    """The value that 99.9 % of the values do not exceed."""
    return float(np.quantile(np.concatenate([m.sample for m in measured]), _SHARE))


def _check_not_all_black(measured: Sequence[_Measured], key: str, where: str) -> None:
    if max(m.largest for m in measured) <= 0 and min(m.smallest for m in measured) < 0:
        raise DatasetError(
            f"{where}, but none of their values is above 0, which is black ({key}); add a number "
            "to the values"
        )


def _usual_white(largest: float) -> float:
    """The smallest usual white of floats for the largest value, or 65535 if that is too small."""
    if largest <= _OVERSHOOT:
        return 1.0
    return next((white for white in _FLOAT_WHITES if white >= largest), _FLOAT_WHITES[-1])


def _bits_of(largest: float) -> int:
    return next(bits for bits in BITS if largest < 2**bits)


def _spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items, at equal distances."""
    if len(items) <= count:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, count).astype(int)]


def _each(work: Callable[[Path], T], paths: Sequence[Path], *, threads: int = _THREADS) -> list[T]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, paths))


def _is_deep(path: Path) -> bool:
    try:
        return is_deep(path)
    except ImageError:
        return False  # reported when the set was read


def _measured(path: Path) -> _Measured | None:
    try:
        values = stored_values(path)
    except ImageError:
        return None
    if values is None or not values.size:
        return None
    return _of_values(values)


def _of_values(values: Values) -> _Measured:
    is_float = values.dtype.kind == "f"
    if is_float:
        values = np.where(np.isfinite(values), values, 0)
    flat = values.reshape(-1)
    sample = flat[:: -(-flat.size // _VALUES_KEPT)].astype(np.float64)
    return _Measured(is_float, float(values.min()), float(values.max()), sample)
