"""Imitate file systems that lack operations, in Python's `os` and `open`.

Inside `refusing(folder, {"rename": errno.EPERM})` every call of this process that would rename a
file below the folder raises that error. The disk itself does not change.
"""

import builtins
import errno
import fcntl
import io
import math
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SMB = {
    "chmod": errno.EPERM,
    "link": errno.ENOTSUP,
    "lock": errno.ENOLCK,
    "sync folder": errno.EINVAL,
}
"""A network share (SMB, Azure Files): no modes, no links, no locks."""

OBJECT_STORE = {
    "append": errno.ENOTSUP,
    "change": errno.ENOTSUP,
    "chmod": errno.ENOSYS,
    "link": errno.ENOSYS,
    "lock": errno.ENOSYS,
    "rename": errno.ENOSYS,
    "sync file": errno.ENOSYS,
    "sync folder": errno.ENOSYS,
}
"""A bucket mounted as a folder: files are written once, from their start to their end."""

_WRITING = os.O_CREAT | os.O_WRONLY | os.O_RDWR


@contextmanager
def refusing(
    folder: Path, refusals: Mapping[str, int], *, name: str = "", times: float = math.inf
) -> Iterator[Counter[str]]:
    """Make operations raise these error numbers below `folder`; count how often each is called.

    The operations are append, change (in place), chmod, create, link, lock, rename, renew (a file
    that exists), sync file, sync folder and unlink. They fail only for files with `name` in their
    path, and only the first so many times.
    """
    asked: Counter[str] = Counter()
    top = f"{folder}/"

    def check(operation: str | None, place: Any) -> None:
        is_handle = isinstance(place, int)
        path = str(Path(f"/proc/self/fd/{place}").readlink()) if is_handle else os.fsdecode(place)
        if operation is None or operation not in refusals or asked.total() >= times:
            return
        if name not in path or not f"{path}/".startswith(top):
            return
        asked[operation] += 1
        number = refusals[operation]
        raise OSError(number, os.strerror(number), *([] if is_handle else [path]))

    with _replaced(
        (os, "chmod", lambda path, *_: check("chmod", path)),
        (os, "fchmod", lambda handle, *_: check("chmod", handle)),
        (os, "link", lambda _, path, *__: check("link", path)),
        (os, "replace", lambda _, path: check("rename", path)),
        (os, "rename", lambda _, path: check("rename", path)),
        (os, "unlink", lambda path: check("unlink", path)),
        (os, "fsync", lambda handle: check(_kind_of_sync(handle), handle)),
        (os, "fdatasync", lambda handle: check(_kind_of_sync(handle), handle)),
        (os, "ftruncate", lambda handle, _: check("change", handle)),
        (os, "pwrite", lambda handle, *_: check("change", handle)),
        (os, "open", lambda path, flags, *_: check(_kind_of_open(flags), path)),
        (io, "open", lambda path, mode="r", *_: check(_kind_of_mode(mode), path)),
        (builtins, "open", lambda path, mode="r", *_: check(_kind_of_mode(mode), path)),
        (fcntl, "flock", lambda handle, _: check("lock", handle)),
    ):
        yield asked


def _kind_of_sync(handle: int) -> str:
    return "sync folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "sync file"


def _kind_of_open(flags: int) -> str | None:
    if flags & os.O_APPEND:
        return "append"
    if flags & os.O_TRUNC:
        return "renew"
    return "create" if flags & _WRITING else None


def _kind_of_mode(mode: str) -> str | None:
    if "a" in mode:
        return "append"
    if "+" in mode:
        return "change"
    return "create" if "w" in mode or "x" in mode else None


@contextmanager
def _replaced(*calls: tuple[Any, str, Callable[..., None]]) -> Iterator[None]:
    """Inside, each function of a module first checks its arguments."""
    real = [(module, name, getattr(module, name)) for module, name, _ in calls]
    try:
        for (module, name, function), (_, _, check) in zip(real, calls, strict=True):
            setattr(module, name, _checked(function, check))
        yield
    finally:
        for module, name, function in real:
            setattr(module, name, function)


def _checked(function: Callable[..., Any], check: Callable[..., None]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        check(*arguments, **{key: value for key, value in options.items() if key == "mode"})
        return function(*arguments, **options)

    return call
