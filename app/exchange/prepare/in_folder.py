"""The folder that prepare makes: when it may be replaced, and the account beside the data."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.exchange.sources import PREPARED


def what_is_wrong(source: Path, out: Path, *, replace: bool) -> str:
    """Return why `out` must not be made; '' if nothing is against it."""
    if source.exists() and out.resolve() in (source.resolve(), *source.resolve().parents):
        return f"{out} is the source or a folder around it, which is not changed; name a new folder"
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return ""
    if not (out / PREPARED).is_file():
        return f"{out} is not empty and was not made by prepare; name a new folder"
    return "" if replace else f"{out} was made by prepare before; name a new one, or add --force"


def write_account(folder: Path, account: Mapping[str, Any]) -> None:
    """Write the numbers of the run beside the data."""
    text = json.dumps(account, ensure_ascii=False, indent=1)
    (folder / PREPARED).write_text(f"{text}\n", encoding="utf-8")
