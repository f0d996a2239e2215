"""Other programs' data beside weights are read without running code, or refused by name."""

import argparse
import collections
import datetime
import decimal
import enum
import functools
import pathlib
import pickle
import types
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.engine.checkpoint.files import load_tensors, read_checkpoint
from app.engine.errors import CheckpointError
from app.engine.inert import class_of
from app.engine.pickles import read_pickle

WEIGHT = torch.ones(2, 3)
ARRAY = WEIGHT.numpy()


class Settings:
    """A class that the reader does not know."""

    def __init__(self) -> None:
        self.rate = 0.1


class Table(dict[str, Any]):
    """A table of a class that the reader does not know."""


class Pair(collections.namedtuple("Pair", "a b")):
    """Made by a call of `__new__` with arguments."""


class Slots:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 1


class Level(enum.Enum):
    HIGH = 1


def function() -> None:
    """Mentioned, not called."""


HARMLESS: dict[str, Any] = {
    "namespace": argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath("/data")),
    "simple namespace": types.SimpleNamespace(a=1),
    "path": pathlib.PosixPath("/data/x"),
    "foreign path": pathlib.PureWindowsPath("C:/x"),
    "date and time": datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC),
    "date": datetime.date(2026, 1, 2),
    "duration": datetime.timedelta(seconds=3),
    "ordered dict": collections.OrderedDict(a=1),
    "default dict": collections.defaultdict(list, {"loss": [1.0, 2.0]}),
    "counter": collections.Counter("aab"),
    "deque": collections.deque([1, 2], maxlen=5),
    "set": {1, 2},
    "frozen set": frozenset((1, 2)),
    "array": np.arange(4, dtype=np.float32),
    "array of names": np.array(["cat", "dog"]),
    "empty array": np.zeros((0, 4)),
    "big endian": np.arange(3, dtype=">i4"),
    "scalar": np.float32(0.5),
    "numpy bool": np.bool_(True),
    "number format": np.dtype("float32"),
    "bytes": b"\xff\x00",
    "no bytes": b"",
    "an object": Settings(),
    "a table of its own class": Table(a=1),
    "a named tuple": Pair(1, 2),
    "a class": Settings,
    "a type": int,
    "a function": function,
}

TORCH_ONLY: dict[str, Any] = {
    "size": torch.Size([1, 2]),
    "dtype": torch.float16,
    "device": torch.device("cuda:0"),
}

REFUSED: dict[str, tuple[Any, str]] = {
    "enumeration": (Level.HIGH, "Level"),
    "decimal": (decimal.Decimal("1.5"), "Decimal"),
    "partial": (functools.partial(function), "functools.partial"),
    "uuid": (uuid.UUID(int=1), "uuid.UUID"),
}


def written(path: Path, content: Any, kind: str) -> Path:
    if kind.startswith("pickle"):
        path.write_bytes(pickle.dumps(content, protocol=int(kind[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    return path


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle2", "pickle4", "pickle5"])
@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_side_data_does_not_stop_the_weights(tmp_path: Path, name: str, kind: str):
    weight = ARRAY if kind.startswith("pickle") else WEIGHT
    content = {"model": {"a.weight": weight}, "extra": [HARMLESS[name], {"x": HARMLESS[name]}]}

    file = read_checkpoint(written(tmp_path / "m.pth", content, kind))

    assert torch.equal(file.model["a.weight"], WEIGHT)


@pytest.mark.parametrize("kind", ["zip", "legacy"])
@pytest.mark.parametrize("name", TORCH_ONLY)
def test_torchs_own_values(tmp_path: Path, name: str, kind: str):
    content = {"model": {"a.weight": WEIGHT}, "extra": TORCH_ONLY[name]}

    assert read_checkpoint(written(tmp_path / "m.pth", content, kind)).model


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle2", "pickle4"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_made_by_a_call_is_refused_by_name(tmp_path: Path, name: str, kind: str):
    value, named = REFUSED[name]

    with pytest.raises(CheckpointError, match=rf"m\.pth: refused.*{named}.*state_dict\(\)"):
        read_checkpoint(written(tmp_path / "m.pth", {"a.weight": ARRAY, "x": value}, kind))


def test_an_object_with_a_state_that_is_no_table_is_refused_by_name(tmp_path: Path):
    torch.save({"model": {"a.weight": WEIGHT}, "x": Slots()}, tmp_path / "m.pth")

    with pytest.raises(CheckpointError, match=r"object of .*Slots"):
        read_checkpoint(tmp_path / "m.pth")


def test_values_that_a_reader_may_want(tmp_path: Path):
    content = {
        "names": ["a", "b"],
        "counts": collections.Counter("aab"),
        "losses": collections.defaultdict(list, {"x": [1.0]}),
        "array": np.arange(6.0).reshape(2, 3),
        "rate": np.float64(0.5),
        "settings": Settings(),
    }
    torch.save(content, tmp_path / "m.pth")
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(content))

    for found in (load_tensors(tmp_path / "m.pth"), read_pickle(tmp_path / "m.pkl")):
        assert found["names"] == ["a", "b"]
        assert found["counts"] == {"a": 2, "b": 1}
        assert found["losses"] == {"x": [1.0]}
        assert found["array"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert found["rate"] == 0.5
        assert class_of(found["settings"]).endswith("Settings")


def test_many_copies_of_one_list_take_no_memory(tmp_path: Path):
    """A memo lets a small file ask for a large copy again and again."""
    items = b"(" + b"K\x01" * 100_000 + b"lq\x00."
    call = b"ccollections\ndeque\nh\x00\x85R0"
    (tmp_path / "m.pkl").write_bytes(b"\x80\x02" + items[:-1] + call * 20_000 + b".")

    assert len(read_pickle(tmp_path / "m.pkl")) == 100_000
