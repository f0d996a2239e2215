"""Stand-ins for the classes and functions that a pickled file names, none of which runs code.

Files of other programs have more than weights: settings, paths, dates, counters. Harmless classes
become a table, a list or a number; objects of unknown classes become empty tables with the name of
the class. Everything else is refused by name, above all calls: only functions of this module are
called, whatever a file names.
"""

import math
import re
import sys
from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_CLASS = "<class>"
"""Key of the class's name in the attributes of a table; no real attribute has this name."""


class RefusedError(Exception):
    """The file has a name, call or operation that data does not need; the message names it."""


def stand_in(name: str) -> Any:
    """The stand-in for a dotted `name` in a file; raises RefusedError for names of programs."""
    name = name.replace("__builtin__.", "builtins.", 1)  # Python 2
    if name in _KNOWN:
        return _KNOWN[name]
    if name.partition(".")[0] in _STANDARD_LIBRARY:
        raise RefusedError(name)
    return _named_class(name)


def class_of(value: Any) -> str | None:
    """The name of the class that a table stands for; None for other values."""
    return vars(value).get(_CLASS) if type(value) is OrderedDict else None


class StandIn(type):
    """A class that a file names: its objects become tables, calls of it are refused."""

    full_name: str

    def __call__(cls, *_: Any, **__: Any) -> Any:
        raise RefusedError(f"a call of {cls.full_name}")

    def object(cls) -> OrderedDict[str, Any]:
        """The table for an object of the class."""
        return _table(cls.full_name)


def _table(name: str) -> OrderedDict[str, Any]:
    # torch's reader sets attributes of an OrderedDict only, not of other tables.
    table: OrderedDict[str, Any] = OrderedDict()
    vars(table)[_CLASS] = name
    return table


def _named_class(name: str) -> StandIn:
    def new(cls: StandIn, *_: Any) -> OrderedDict[str, Any]:
        return cls.object()

    return StandIn("StandIn", (), {"__new__": new, "full_name": name})


class DType:
    """A number format: one of numpy's codes, such as `f4`."""

    _CODE = re.compile(r"[<>=|]?([?bhilqBHILQefdg]|[biufcmM]\d{1,2}|[SU]\d{1,4})")

    def __init__(self, code: Any, *_: Any) -> None:
        code = str(code)
        if self._CODE.fullmatch(code) is None:
            raise RefusedError(f"numpy arrays of type {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)


class NdArray:
    """numpy's array class: a file may name it but not call it."""

    def __init__(self, *_: Any) -> None:
        raise RefusedError("a call of numpy.ndarray")


class ArrayToBe:
    """An array whose shape and bytes are set later."""

    array: Array

    def __init__(self, kind: Any, *_: Any) -> None:
        if kind is not NdArray:
            raise RefusedError("an array of an unknown class")

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        data = data.encode("latin1") if isinstance(data, str) else data
        self.array = _make_array(data, dtype, shape, "F" if is_fortran else "C")


def finished(value: Any) -> Any:
    """`value` with real arrays and plain containers; shared containers stay shared."""
    return _finished(value, {})


def _finished(value: Any, done: dict[int, Any]) -> Any:
    if isinstance(value, ArrayToBe):
        return value.array
    if not isinstance(value, dict | list | tuple) or class_of(value) is not None:
        return value
    if id(value) not in done:
        if isinstance(value, dict):
            done[id(value)] = {key: _finished(item, done) for key, item in value.items()}
        else:
            items = [_finished(item, done) for item in value]
            done[id(value)] = tuple(items) if isinstance(value, tuple) else items
    return done[id(value)]


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any = "C") -> Array:
    return _make_array(data, dtype, shape, order)


def _scalar(dtype: Any, data: Any) -> Any:
    data = data.encode("latin1") if isinstance(data, str) else data
    return _make_array(data, dtype, (), "C").item()


def _make_array(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    if not isinstance(dtype, DType) or not isinstance(data, bytes | bytearray):
        raise RefusedError("an array of objects")
    shape = tuple(int(length) for length in shape)
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.dtype.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes do not make an array of shape {shape}")
    flat = np.frombuffer(data, dtype.dtype)
    array = flat.reshape(shape, order="F" if order == "F" else "C")
    return np.array(array, dtype=dtype.dtype.newbyteorder("="), order="C")


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise RefusedError(f"the codec {encoding!r}")
    return str(text).encode("latin1")


def _empty_bytes() -> bytes:
    """The value of `b""`, which older pickle protocols write as a call of `bytes`."""
    return b""


def _empty_dict(*_: Any) -> dict[Any, Any]:
    return {}


def _counts(content: Any = None) -> dict[Any, Any]:
    # The same object, because a file could fill the memory with many copies of it.
    return content if isinstance(content, dict) else {}


def _items(content: Any = None, *_: Any) -> list[Any]:
    return content if isinstance(content, list) else []


def _made_by_call(name: str) -> Any:
    """A stand-in for a class whose objects are pickled as calls of the class."""

    def make(*_: Any) -> OrderedDict[str, Any]:
        return _table(name)

    return make


_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path", "PurePath")
_MADE_BY_CALL = (
    *(f"pathlib.{name}" for name in _PATHS),
    *(f"pathlib._local.{name}" for name in _PATHS),
    *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
    *("types.SimpleNamespace", "torch.Size", "torch.device"),
)
_NAMED = (
    "argparse.Namespace",
    *(
        f"builtins.{name}"
        for name in ("bool", "int", "long", "float", "str", "unicode", "list", "dict", "tuple")
    ),
)
"""Classes of objects pickled without a call, or only named: `defaultdict(list)` names `list`."""

_KNOWN: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": _empty_dict,
    "collections.Counter": _counts,
    "collections.deque": _items,
    "builtins.set": _items,
    "builtins.frozenset": _items,
    "builtins.bytes": _empty_bytes,
    "numpy.ndarray": NdArray,
    "numpy.dtype": DType,
    "_codecs.encode": _encode,
    **{name: _made_by_call(name) for name in _MADE_BY_CALL},
    **{name: _named_class(name) for name in _NAMED},
}
for _core in ("numpy.core", "numpy._core"):
    _KNOWN[f"{_core}.multiarray._reconstruct"] = ArrayToBe
    _KNOWN[f"{_core}.multiarray.scalar"] = _scalar
    _KNOWN[f"{_core}.numeric._frombuffer"] = _from_buffer

_STANDARD_LIBRARY = sys.stdlib_module_names | {
    *("__builtin__", "copy_reg", "commands", "cPickle", "exceptions", "popen2", "urllib2"),
}
"""Modules of which only the names in `_KNOWN` are allowed; the last ones are Python 2's."""
