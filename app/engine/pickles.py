"""Pickles read as data: numbers, text, containers and numpy arrays. Nothing in the file can run.

The usual allow-list of numpy's constructors is not enough for files of strangers, so none of them
is called: every name a file may use stands for a small class of this module, whose checks come
before any memory is taken. An array needs as many bytes as its shape says.
"""

import math
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import numpy.typing as npt

from app.engine.errors import CheckpointError

Array = npt.NDArray[Any]


def read_pickle(path: Path) -> Any:
    """The content of a pickle file of any protocol; CheckpointError when unsafe or damaged."""
    try:
        with path.open("rb") as file:
            content = _Unpickler(_Bounded(file, path.stat().st_size)).load()
        return _finished(content, {})
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); check the file"
        ) from error
    except _RefusedError as error:
        raise CheckpointError(
            f"{path}: refused, because the file asks for {error}, which could run code; "
            "use a file that holds only arrays, numbers and text"
        ) from error
    except Exception as error:  # a damaged file can fail in any opcode
        reason = "its content is something else" if isinstance(error, KeyError) else error
        raise CheckpointError(
            f"{path}: not a whole pickle file ({reason}); copy or download it again"
        ) from error


class _RefusedError(Exception):
    """A name or opcode that no data needs."""


class _Bounded:
    """A file that refuses to read past its end, before anyone takes memory for it."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int) -> bytes:
        if size > self._left:
            raise EOFError("it ends early")
        self._left -= size
        return self._file.read(size)

    def readline(self) -> bytes:
        line = self._file.readline()
        self._left -= len(line)
        return line


class _DType:
    """A number format: one of numpy's codes, such as `f4`."""

    _KINDS = frozenset(("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"))

    def __init__(self, code: Any, *_: Any) -> None:
        code = str(code)
        if code.lstrip("<>=|") not in self._KINDS:
            raise _RefusedError(f"numpy arrays of type {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)


class _NdArray:
    """numpy's array class: a file may name it, not call it."""

    def __init__(self, *_: Any) -> None:
        raise _RefusedError("a call of numpy.ndarray")


class _Array:
    """An array that gets its shape and bytes later."""

    array: Array

    def __init__(self, kind: Any, *_: Any) -> None:
        if kind is not _NdArray:
            raise _RefusedError("an array of an unknown class")

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        data = data.encode("latin1") if isinstance(data, str) else data
        self.array = _make_array(data, dtype, shape, "F" if is_fortran else "C")


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any = "C") -> Array:
    return _make_array(data, dtype, shape, order)


def _scalar(dtype: Any, data: Any) -> Any:
    data = data.encode("latin1") if isinstance(data, str) else data
    return _make_array(data, dtype, (), "C").item()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise _RefusedError(f"the codec {encoding!r}")
    return str(text).encode("latin1")


def _empty_bytes() -> bytes:
    """Python writes `b""` in the older protocols as a call of `bytes`."""
    return b""


def _make_array(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    if not isinstance(dtype, _DType) or not isinstance(data, bytes | bytearray):
        raise _RefusedError("an array of objects")
    shape = tuple(int(length) for length in shape)
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.dtype.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes do not make an array of shape {shape}")
    flat = np.frombuffer(data, dtype.dtype)
    array = flat.reshape(shape, order="F" if order == "F" else "C")
    return np.array(array, dtype=dtype.dtype.newbyteorder("="), order="C")


_NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "ndarray"): _NdArray,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _empty_bytes,
}
for _core in ("numpy.core", "numpy._core"):
    _NAMES[f"{_core}.multiarray", "_reconstruct"] = _Array
    _NAMES[f"{_core}.multiarray", "scalar"] = _scalar
    _NAMES[f"{_core}.numeric", "_frombuffer"] = _from_buffer

_NEEDLESS_OPCODES = (
    *(pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX),
    *(pickle.EXT1, pickle.EXT2, pickle.EXT4),
    *(pickle.PERSID, pickle.BINPERSID),
    *(pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
)


class _Unpickler(pickle._Unpickler):
    """The interpreter written in Python: its memo is a dict, which no file can blow up by index."""

    stack: list[Any]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: Any) -> None:
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES:
            raise _RefusedError(f"{module}.{name}")
        return _NAMES[module, name]

    def load_build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _Array | _DType):
            raise _RefusedError(f"the state of a {type(self.stack[-1]).__name__}")
        self.stack[-1].__setstate__(state)

    dispatch[pickle.BUILD[0]] = load_build


def _refuse_opcode(opcode: bytes) -> Callable[[_Unpickler], None]:
    def refuse(_: _Unpickler) -> None:
        raise _RefusedError(f"the pickle operation {opcode!r}")

    return refuse


for _opcode in _NEEDLESS_OPCODES:
    _Unpickler.dispatch[_opcode[0]] = _refuse_opcode(_opcode)


def _finished(value: Any, done: dict[int, Any]) -> Any:
    """`value` with real arrays and plain containers; what was shared stays shared (`done`)."""
    if isinstance(value, _Array):
        return value.array
    if not isinstance(value, dict | list | tuple):
        return value
    if id(value) not in done:
        if isinstance(value, dict):
            done[id(value)] = {key: _finished(item, done) for key, item in value.items()}
        else:
            done[id(value)] = type(value)(_finished(item, done) for item in value)
    return done[id(value)]
