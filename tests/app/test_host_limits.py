"""Limits of a container as both versions of control groups tell them."""

import os
from pathlib import Path

import pytest

from app.host_limits import cpu_count, memory_limit

ALL = len(os.sched_getaffinity(0))
IN_CONTAINER = "0::/\n"


def write(root: Path, files: dict[str, str], groups: str) -> tuple[Path, Path]:
    for name, text in files.items():
        (root / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "mount" / name).write_text(text)
    (root / "groups").write_text(groups)
    return root / "mount", root / "groups"


@pytest.mark.parametrize(
    ("files", "groups", "expected"),
    [
        pytest.param({}, "", ALL, id="no control groups"),
        pytest.param({"cpu.max": "100000 100000\n"}, IN_CONTAINER, 1, id="version 2"),
        pytest.param({"cpu.max": "max 100000\n"}, IN_CONTAINER, ALL, id="version 2, no limit"),
        pytest.param({"cpu.max": "190000 100000\n"}, IN_CONTAINER, 1, id="rounded down"),
        pytest.param({"cpu.max": "50000 100000\n"}, IN_CONTAINER, 1, id="half a processor"),
        pytest.param({"cpu.max": "9900000 100000\n"}, IN_CONTAINER, ALL, id="more than there are"),
        pytest.param(
            {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"},
            "4:cpu,cpuacct:/docker/0123\n",
            1,
            id="version 1 in a container",
        ),
        pytest.param(
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            "4:cpu:/\n",
            ALL,
            id="version 1, no limit",
        ),
        pytest.param(
            {"a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000"},
            "0::/a/b\n",
            1,
            id="a group around",
        ),
        pytest.param({"cpu.max": "garbage"}, "garbage", ALL, id="garbage"),
    ],
)
def test_processors(tmp_path: Path, files: dict[str, str], groups: str, expected: int):
    assert cpu_count(*write(tmp_path, files, groups)) == expected


@pytest.mark.parametrize(
    ("files", "groups", "expected"),
    [
        pytest.param({}, "", None, id="no control groups"),
        pytest.param({"memory.max": "2147483648\n"}, IN_CONTAINER, 2 << 30, id="version 2"),
        pytest.param({"memory.max": "max\n"}, IN_CONTAINER, None, id="version 2, no limit"),
        pytest.param(
            {"memory/memory.limit_in_bytes": "9223372036854771712"},
            "4:memory:/\n",
            None,
            id="version 1, no limit",
        ),
        pytest.param(
            {"memory/x/memory.limit_in_bytes": "3", "memory/memory.limit_in_bytes": "7"},
            "4:memory:/x\n",
            3,
            id="version 1, a group of the host",
        ),
    ],
)
def test_memory(tmp_path: Path, files: dict[str, str], groups: str, expected: int | None):
    assert memory_limit(*write(tmp_path, files, groups)) == expected


def test_this_machine():
    assert 1 <= cpu_count() <= ALL
    assert memory_limit() is None or memory_limit() > 0
