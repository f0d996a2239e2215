import builtins
import functools
import os
import pickle
import pkgutil
import shutil
import struct
import subprocess
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.engine.checkpoint.files import read_checkpoint
from app.engine.errors import CheckpointError
from app.engine.pickles import read_pickle

CANARY = "canary"


class Call:
    """Pickles as a call of `function` on `arguments`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


class State:
    """Pickles as a call, then a state for its result."""

    def __init__(self, function: Any, arguments: Any, state: Any) -> None:
        self.parts = (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.parts


TOUCH = f"touch {CANARY}"
MAKE = f"open({CANARY!r}, 'w').close()"

OBJECTS: dict[str, Any] = {
    "os.system": Call(os.system, TOUCH),
    "subprocess": Call(subprocess.Popen, ["touch", CANARY]),
    "check_output": Call(subprocess.check_output, ["touch", CANARY]),
    "eval": Call(eval, MAKE),
    "exec": Call(exec, MAKE),
    "compile": Call(compile, MAKE, "x", "exec"),
    "open": Call(open, CANARY, "w"),
    "import": Call(__import__, "antigravity"),
    "getattr": Call(getattr, OrderedDict, "__subclasses__"),
    "map": Call(map, eval, [MAKE]),
    "partial": Call(functools.partial, os.system, TOUCH),
    "resolve_name": Call(pkgutil.resolve_name, "os:system"),
    "rmtree": Call(shutil.rmtree, "folder"),
    "numpy.load": Call(np.load, "file.npy"),
    "torch bytes": Call(torch.storage._load_from_bytes, pickle.dumps(Call(os.system, TOUCH))),
    "torch.load": Call(torch.load, "file.pth"),
    "object array": np.array([Call(os.system, TOUCH)], dtype=object),
    "inside an ordered dict": OrderedDict(model={"a": Call(os.system, TOUCH)}),
    "call in a list": [1, "a", (Call(os.system, TOUCH),)],
    "as a dict key": {"x": {Call(os.system, TOUCH): 1}},
    "class": builtins.object,
    "state of an ordered dict": State(OrderedDict, (), {"items": os.system}),
}

RAW: dict[str, bytes] = {
    "text protocol": f"c__builtin__\neval\n(V{MAKE}\ntR.".encode(),
    "posix text": f"cposix\nsystem\n(S'{TOUCH}'\ntR.".encode(),
    "instance": f"(S'{TOUCH}'\nios\nsystem\n.".encode(),
    "object": f"(cos\nsystem\nS'{TOUCH}'\no.".encode(),
    "newobj of an allowed class": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "extension registry": b"\x80\x02\x82\x01.",
    "persistent id": b"Pid\n.",
    "binary persistent id": b"\x80\x02K\x01Q.",
    "dotted name": b"\x80\x04\x8c\x0bcollections\x8c\x15OrderedDict.__class__\x93.",
    "state of a class": b"\x80\x02ccollections\nOrderedDict\nN}X\x04\x00\x00\x00nameK\x01s\x86b.",
    "state of a function": b"\x80\x02c_codecs\nencode\nN}X\x04\x00\x00\x00nameK\x01s\x86b.",
    "call of ndarray": b"\x80\x02cnumpy\nndarray\n(K\x01K\x02K\x03\x87tR.",
    "array of another class": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nccollections\nOrderedDict\nK\x00\x85"
        b"U\x01b\x87R."
    ),
    "array of objects": b"\x80\x02cnumpy\ndtype\nX\x01\x00\x00\x00OK\x00K\x01\x87R.",
    "another codec": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00zlib\x86R.",
    "huge memo index": b"\x80\x02K\x01r\xff\xff\xff\x7f0",
    "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x.",
    "huge text": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"x.",
    "huge bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"x.",
    "huge frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"x.",
    "huge number": b"\x80\x02\x8b\xff\xff\xff\x7fx.",
    "empty": b"",
    "not a pickle": b"<html>not found</html>",
}


def payloads() -> list[Any]:
    pickled = {name: pickle.dumps(content) for name, content in OBJECTS.items()}
    return [pytest.param(content, id=name) for name, content in (pickled | RAW).items()]


@pytest.fixture(autouse=True)
def _canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()


def assert_nothing_ran(tmp_path: Path) -> None:
    assert not (tmp_path / CANARY).exists()
    assert (tmp_path / "folder").exists()


@pytest.mark.parametrize("payload", payloads())
def test_malicious_pickle_is_refused(payload: bytes, tmp_path: Path):
    path = tmp_path / "model.pkl"
    path.write_bytes(payload)

    with pytest.raises(CheckpointError, match=r"model\.pkl"):
        read_pickle(path)
    with pytest.raises(CheckpointError, match=r"model\.pkl"):
        read_checkpoint(path)

    assert_nothing_ran(tmp_path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", [name for name in OBJECTS if name != "state of an ordered dict"])
def test_malicious_torch_file_is_refused(name: str, zipped: bool, tmp_path: Path):
    path = tmp_path / "model.pth"
    torch.save({"model": {"a": OBJECTS[name]}}, path, _use_new_zipfile_serialization=zipped)

    with pytest.raises(CheckpointError, match=r"model\.pth"):
        read_checkpoint(path)

    assert_nothing_ran(tmp_path)


def test_the_refused_name_is_told(tmp_path: Path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Call(os.system, TOUCH)))

    with pytest.raises(CheckpointError, match=r"posix\.system"):
        read_pickle(path)


def test_what_is_no_pickle_is_told(tmp_path: Path):
    path = tmp_path / "model.pkl"
    path.write_text("version https://git-lfs.github.com/spec/v1")

    with pytest.raises(CheckpointError, match=r"\(its content is something else\)"):
        read_pickle(path)


def test_an_array_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path):
    path = tmp_path / "model.pkl"
    content = pickle.dumps(np.zeros((4, 4), np.float32), protocol=2)
    path.write_bytes(content.replace(b"K\x04K\x04\x86", b"J\x00\x00\x00\x40K\x04\x86"))

    with pytest.raises(CheckpointError, match="bytes do not make an array"):
        read_pickle(path)


def test_shared_lists_do_not_multiply(tmp_path: Path):
    value: list[Any] = []
    for _ in range(200):
        value = [value, value]
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(value))

    assert len(read_pickle(tmp_path / "model.pkl")) == 2


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_data_of_every_protocol_comes_back(protocol: int, tmp_path: Path):
    arrays = {
        "float": np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big endian": np.arange(3, dtype=">i4"),
        "bool": np.array([True, False]),
        "empty": np.zeros((0, 4), np.float32),
        "no dimension": np.array(3),
    }
    others = {"scalar": np.float32(0.5), "tuple": (1, None, "ü", b"", b"\xff", 2**70, -1.5)}
    path = tmp_path / "data.pkl"
    path.write_bytes(pickle.dumps({**arrays, **others}, protocol=protocol))

    found = read_pickle(path)

    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == array.shape
        assert found[name].flags.writeable
    assert found["scalar"] == 0.5
    assert found["tuple"] == others["tuple"]


def test_python_2_files_are_read(tmp_path: Path):
    path = tmp_path / "data.pkl"
    path.write_bytes(
        b"\x80\x02}U\x08conv1_w\xffcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R(K\x01K\x01\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04\x00\x00\x80?tbs."
    )

    assert read_pickle(path)["conv1_wÿ"].tolist() == [1.0]
