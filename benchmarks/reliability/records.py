"""The records file: one JSON line for each experiment, added by several processes at once."""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def add(path: Path, record: Mapping[str, Any]) -> None:
    """Append one line, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.write(json.dumps(record) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def read(*paths: Path) -> list[Record]:
    """All records of the files that exist."""
    return [
        json.loads(line)
        for path in paths
        if path.exists()
        for line in path.read_text().splitlines()
    ]


def count(path: Path, kind: str) -> int:
    """How many experiments of a kind have been recorded."""
    return sum(record["kind"] == kind for record in read(path))
