"""Make the folder in one step: it is written under another name and renamed when it is whole."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.exchange.sources import PREPARED
from common.files import sync_directory


def what_is_wrong(source: Path, out: Path, *, replace: bool) -> str:
    """Return why `out` must not be made; '' if nothing is against it."""
    if source.exists() and out.resolve() in (source.resolve(), *source.resolve().parents):
        return f"{out} is the source or a folder around it, which is not changed; name a new folder"
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return ""
    if not (out / PREPARED).is_file():
        return f"{out} is not empty and was not made by prepare; name a new folder"
    return "" if replace else f"{out} was made by prepare before; name a new one, or add --force"


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder that becomes `out` at the end of the block, and vanishes if the block fails.

    What a killed run left is removed. An OSError names the place.
    """
    work = out.with_name(f".{out.name}.part")
    old = out.with_name(f".{out.name}.old")
    for remains in (work, old):
        shutil.rmtree(remains, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        yield work
        if out.exists():
            out.rename(old)
        work.rename(out)
        sync_directory(out.parent)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_account(folder: Path, account: Mapping[str, Any]) -> None:
    """Write the numbers of the run beside the data."""
    text = json.dumps(account, ensure_ascii=False, indent=1)
    (folder / PREPARED).write_text(f"{text}\n", encoding="utf-8")
