"""Measurements as JSON lines: one object each, with its kind and its machine.

Another measurement adds records of another kind. With `title`, `columns` and `rows` (and `notes`),
a record becomes a table of docs/performance.md without more code. Records with the same `key` are
measurements of the same thing, of which the page shows the newest.
"""

import json
import os
import platform
import time
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from verification import json_lines
from verification.json_lines import Record

RECORDS = Path(__file__).with_name("records.jsonl")

_PACKAGES = ("torch", "torchvision", "onnxruntime", "onnxruntime-gpu", "detectron2")


def append(path: Path, kind: str, content: Mapping[str, Any]) -> None:
    """Append `content` as a record with kind, time and machine."""
    now = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    json_lines.append(path, {"kind": kind, "time": now, "machine": machine(), **content})


def load(paths: Iterable[Path]) -> list[Record]:
    """All records of some files, in order."""
    return json_lines.read(*paths)


def newest(records: Iterable[Record]) -> list[Record]:
    """The last record of each kind and `key`, in the order of their first appearance."""
    last: dict[tuple[str, str], Record] = {}
    for record in records:
        last[record["kind"], json.dumps(record.get("key", ""))] = record
    return list(last.values())


def machine() -> dict[str, Any]:
    """Processor, number of cores, memory and versions of the relevant packages."""
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
