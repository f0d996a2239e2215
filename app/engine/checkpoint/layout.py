"""Find the weights in the content of a file, and the library whose names they have.

Programs put weights into nested tables (`state_dict`, `model`, `ema`) and add nested prefixes to
names (`module.`, `_orig_mod.`, `model.`).
"""

import logging
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from app.engine.config.declared import BODIES
from app.engine.errors import CheckpointError
from app.engine.inert import class_of

logger = logging.getLogger(__name__)

Naming = Literal["detectron2", "caffe2", "torchvision", "pycls"]

AVERAGED_KEYS = (
    *("model_ema", "ema_state_dict", "state_dict_ema", "params_ema", "ema_model", "ema_state"),
    *("ema", "averaged_model", "swa_model"),
)
"""Keys of moving averages, which are preferred to the weights themselves."""

PLAIN_KEYS = (
    *("model", "model_state", "model_state_dict", "state_dict", "checkpoint", "net", "network"),
    *("params", "weights", "model_weights", "module", "state", "student", "teacher"),
)
"""Keys of weights; the first one that exists is used."""

_OTHER_KEYS = re.compile(r"optim|sched|scaler|rng|random|amp|trainer|loops|callbacks", re.I)
"""Keys of tables of tensors that are no weights."""

_PREFIXES = ("module", "model", "net", "network", "detector", "ema_model", "student", "teacher")
_INNER_PREFIXES = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Wrappers such as torch.compile insert these anywhere in a name."""

_COUNTERS = ("n_averaged", "steps", "num_updates", "updates")
"""Counters that wrappers add to averaged weights."""

_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Found:
    """The weights of a file's content.

    weights     name in the file without the prefixes of wrappers -> value
    naming      library whose names these are
    heuristics  whether names lack prefixes and must be matched by their ends
    extra       everything else at the top level
    """

    weights: dict[str, Any]
    naming: Naming
    heuristics: bool
    extra: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Table:
    """Weights below `keys` of the content."""

    keys: tuple[str, ...]
    weights: dict[str, Any]
    is_averaged: bool

    def __str__(self) -> str:
        return ".".join(self.keys)


def find_state(content: Mapping[Any, Any], path: Path, *, is_pickle: bool) -> Found:
    """Find the weights in the `content` of the file at `path`.

    Raises CheckpointError for several sets of weights of which none has a known key, and for a
    whole model as an object of its class.
    """
    if is_pickle and _is_caffe2(content):
        blobs = content.get("blobs", content)
        kept = {str(n): v for n, v in blobs.items() if not str(n).endswith("_momentum")}
        return Found(kept, "caffe2", True, {})
    table = _chosen(_tables(content), content, path)
    if table is None:
        _refuse_objects(content, path)
        return Found({}, "detectron2", False, {})
    extra = {name: value for name, value in content.items() if name not in table.keys[:1]}
    naming, heuristics = _naming(table, extra)
    return Found(table.weights, naming, heuristics, extra if table.keys else {})


def _is_caffe2(content: Mapping[Any, Any]) -> bool:
    """Whether a pickle is Detectron1's: it has blobs, or arrays with names without dots."""
    if "blobs" in content:
        return True
    return not any("." in str(name) for name in content) and not _tables(content)


def _tables(content: Mapping[Any, Any]) -> list[_Table]:
    """All tables of weights below known keys, or else below any other keys."""
    known = _tables_below(content, (), {*AVERAGED_KEYS, *PLAIN_KEYS})
    if known:
        return known
    if _count(content) > 2:  # the content itself is a table of weights
        return []
    return [
        _Table((str(key),), unwrapped(value), False)
        for key, value in content.items()
        if _is_table(value) and _count(value) and not _OTHER_KEYS.search(str(key))
    ]


def _tables_below(
    content: Mapping[Any, Any], keys: tuple[str, ...], wanted: Collection[str]
) -> list[_Table]:
    found = []
    for key, value in content.items():
        if not _is_table(value) or str(key).lower() not in wanted:
            continue
        below = (*keys, str(key))
        if _count(value):
            is_averaged = any(part.lower() in AVERAGED_KEYS for part in below)
            found.append(_Table(below, unwrapped(value), is_averaged))
        elif len(below) < _DEPTH:
            found += _tables_below(value, below, wanted)
    return found


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and class_of(value) is None


def _count(content: Mapping[Any, Any]) -> int:
    return sum(isinstance(value, Tensor | np.ndarray) for value in content.values())


def _chosen(tables: list[_Table], content: Mapping[Any, Any], path: Path) -> _Table | None:
    """Choose a table and log other candidates; without tables, use the content itself."""
    if not tables:
        return _Table((), unwrapped(content), False) if _count(content) else None
    if "meta" in content or "message_hub" in content:
        # MMEngine saves the averaged weights as the model and the others as `ema_state_dict`.
        tables = [t for t in tables if t.keys[0] != "ema_state_dict" or len(tables) == 1]
    plain = sorted((t for t in tables if not t.is_averaged), key=_rank)
    averaged = sorted((t for t in tables if t.is_averaged), key=_rank)
    if len(plain) > 1 and plain[0].keys[-1].lower() not in PLAIN_KEYS:
        names = ", ".join(str(table) for table in plain)
        raise CheckpointError(
            f"{path}: holds several sets of weights ({names}) and does not say which is the model; "
            'save the right one alone, as {"model": state_dict}'
        )
    chosen = (averaged or plain)[0]
    if plain and averaged and (lacking := plain[0].weights.keys() - chosen.weights.keys()):
        logger.warning("%s: %s lacks %d weights of %s", path, chosen, len(lacking), plain[0])
        chosen = plain[0]
    others = [str(table) for table in (*averaged, *plain) if table is not chosen]
    if others:
        kind = "moving averages" if chosen.is_averaged else "weights"
        logger.info("%s: the %s of %r are used, not %s", path, kind, str(chosen), others)
    return chosen


def _rank(table: _Table) -> int:
    order = (*AVERAGED_KEYS, *PLAIN_KEYS)
    key = table.keys[0].lower()
    return order.index(key) if key in order else len(order)


def unwrapped(weights: Mapping[Any, Any]) -> dict[str, Any]:
    """The weights without the wrappers' counters and without prefixes that most names have."""
    names = {str(name): value for name, value in weights.items()}
    if sum(name.endswith(_COUNTERS) for name in names) < len(names):
        names = {name: value for name, value in names.items() if name not in _COUNTERS}
    names = {_INNER_PREFIXES.sub("", name): value for name, value in names.items()}
    while True:
        first = Counter(name.partition(".")[0] for name in names if "." in name)
        prefix, count = first.most_common(1)[0] if first else ("", 0)
        if prefix not in _PREFIXES or count * 2 <= len(names):
            return names
        names = {name.removeprefix(f"{prefix}."): value for name, value in names.items()}


def _naming(table: _Table, extra: Mapping[str, Any]) -> tuple[Naming, bool]:
    """(library whose names they are, whether they lack prefixes)."""
    key = table.keys[-1] if table.keys else ""
    if key == "model_state":
        return "pycls", True
    if key == "model":
        if extra.get("__author__") == "Caffe2":
            return "caffe2", True
        if "__author__" in extra or "trainer" in extra or "iteration" in extra:
            return "detectron2", bool(extra.get("matching_heuristics"))
    # torchvision's classifiers are recognised by their names, which lack the body's prefix.
    first = tuple(body.first_weight for body in BODIES.values())
    if any(name.startswith(first) for name in table.weights):
        return "torchvision", True
    return "detectron2", bool(table.keys and extra.get("matching_heuristics"))


def _refuse_objects(content: Any, path: Path) -> None:
    """Raise CheckpointError for a whole model that was saved as an object of its class."""
    objects = [content, *(content.values() if isinstance(content, Mapping) else ())]
    names = [name for value in objects if (name := class_of(value)) is not None]
    if names:
        raise CheckpointError(
            f"{path}: holds an object of {names[0]} and no weights under names; load it with the "
            'program that made it and save the weights alone: torch.save({"model": '
            "model.state_dict()}, FILE)"
        )
