"""Read pickles as data (numbers, text, containers, numpy arrays) without running code of the file.

An allow-list of numpy's constructors is not safe enough for files of unknown origin, so none of
them is called: every allowed name is a stand-in of `inert`, which checks sizes before it allocates
memory. An array must have as many bytes as its shape needs.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from app.engine.errors import CheckpointError
from app.engine.inert import ArrayToBe, DType, RefusedError, StandIn, class_of, finished, stand_in


def read_pickle(path: Path) -> Any:
    """Read a pickle file of any protocol; raises CheckpointError if it is unsafe or damaged."""
    try:
        with path.open("rb") as file:
            content = _Unpickler(_Bounded(file, path.stat().st_size)).load()
        return finished(content)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); check the file"
        ) from error
    except RefusedError as error:
        raise CheckpointError(
            f"{path}: refused, because the file asks for {error}, which could run code; "
            "save the arrays, numbers and text alone (of a model: its state_dict())"
        ) from error
    except Exception as error:  # a damaged file can fail in any opcode
        reason = "its content is something else" if isinstance(error, KeyError) else error
        raise CheckpointError(
            f"{path}: not a whole pickle file ({reason}); copy or download it again"
        ) from error


class _Bounded:
    """A file that raises EOFError for reads past its end before memory is allocated for them."""

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


_NEEDLESS_OPCODES = (
    *(pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX),
    *(pickle.EXT1, pickle.EXT2, pickle.EXT4),
    *(pickle.PERSID, pickle.BINPERSID),
    *(pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
)


class _Unpickler(pickle._Unpickler):
    """The unpickler written in Python, whose memo is a dict: a large index needs no memory."""

    stack: list[Any]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: Any) -> None:
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        return stand_in(f"{module}.{name}")

    def load_newobj(self) -> None:
        _arguments, kind = self.stack.pop(), self.stack.pop()
        if not isinstance(kind, StandIn):
            raise RefusedError(f"an object of {getattr(kind, '__name__', kind)}")
        self.stack.append(kind.object())

    def load_build(self) -> None:
        state, value = self.stack.pop(), self.stack[-1]
        if isinstance(value, ArrayToBe | DType):
            value.__setstate__(state)
        elif class_of(value) is None:  # the state of an unknown object is dropped
            raise RefusedError(f"the state of a {type(value).__name__}")

    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.BUILD[0]] = load_build


def _refuse_opcode(opcode: bytes) -> Callable[[_Unpickler], None]:
    def refuse(_: _Unpickler) -> None:
        raise RefusedError(f"the pickle operation {opcode!r}")

    return refuse


for _opcode in _NEEDLESS_OPCODES:
    _Unpickler.dispatch[_opcode[0]] = _refuse_opcode(_opcode)
