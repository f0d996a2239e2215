"""Measurements as JSON lines: one object each, with its kind and the machine it was taken on.

Whoever measures something else adds records of a kind of its own. With `title`, `columns` and
`rows` (and `notes`) in it, a record becomes a table of docs/performance.md without more code;
`key` says which records speak of the same thing: the page shows the newest.
"""

import json
import os
import platform
import time
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_PACKAGES = ("torch", "torchvision", "onnxruntime", "onnxruntime-gpu", "detectron2")


def append(path: Path, kind: str, content: Mapping[str, Any]) -> Record:
    """Add a record of what `content` says; gives it back with kind, time and machine."""
    record = {
        "kind": kind,
        "time": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "machine": machine(),
        **content,
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    return record


def load(paths: Iterable[Path]) -> list[Record]:
    """All records of some files, in order."""
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return [json.loads(line) for line in lines if line.strip()]


def newest(records: Iterable[Record]) -> list[Record]:
    """The last record of each kind and `key`, in the order in which these first appeared."""
    last: dict[tuple[str, str], Record] = {}
    for record in records:
        last[record["kind"], json.dumps(record.get("key", ""))] = record
    return list(last.values())


def machine() -> dict[str, Any]:
    """Processor, number of cores, memory and the packages that count."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages / 2**30),
        "versions": versions,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
