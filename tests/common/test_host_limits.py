"""Limits of a container as both versions of control groups tell them."""

import os
from pathlib import Path

import pytest

from common.host_limits import cpu_count, memory_limit

ALL = len(os.sched_getaffinity(0))
IN_CONTAINER = "0::/\n"
OLD = "4:cpu,cpuacct:/\n5:memory:/\n"
OLD_DOCKER = "4:cpu,cpuacct:/docker/0123\n5:memory:/docker/0123\n"


def write(root: Path, files: dict[str, str], groups: str) -> tuple[Path, Path]:
    for name, text in files.items():
        (root / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "mount" / name).write_text(text)
    (root / "groups").write_text(groups)
    return root / "mount", root / "groups"


NONE = {"cpu.max": "max 100000\n", "memory.max": "max\n"}


def quota(share: float) -> dict[str, str]:
    """Version 2's word for so many processors."""
    return {"cpu.max": f"{round(share * 100_000)} 100000\n"}


def version_1(quota_us: int, limit: int, group: str = "") -> dict[str, str]:
    return {
        f"cpu{group}/cpu.cfs_quota_us": str(quota_us),
        f"cpu{group}/cpu.cfs_period_us": "100000",
        f"memory{group}/memory.limit_in_bytes": str(limit),
    }


@pytest.mark.parametrize(
    ("files", "groups", "cpus", "memory"),
    [
        pytest.param({}, "", ALL, None, id="no control groups"),
        pytest.param(NONE, IN_CONTAINER, ALL, None, id="version 2, no limit"),
        pytest.param(quota(1), IN_CONTAINER, 1, None, id="one processor"),
        pytest.param(quota(1.9), IN_CONTAINER, 1, None, id="rounded down"),
        pytest.param(quota(0.5), IN_CONTAINER, 1, None, id="half a processor"),
        pytest.param(quota(99), IN_CONTAINER, ALL, None, id="more than there are"),
        pytest.param({"memory.max": "2147483648\n"}, IN_CONTAINER, ALL, 2 << 30, id="2 GiB"),
        pytest.param(version_1(-1, 2**63 - 4096), OLD, ALL, None, id="version 1, no limit"),
        pytest.param(version_1(100_000, 7), OLD_DOCKER, 1, 7, id="version 1 in a container"),
        pytest.param(
            version_1(100_000, 3, group="/docker/0123"),
            OLD_DOCKER,
            1,
            3,
            id="version 1, a group of the host",
        ),
        pytest.param(
            {"a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000", "a/b/memory.max": "5"},
            "0::/a/b\n",
            1,
            5,
            id="a group around",
        ),
        pytest.param(
            {"cpu.max": "garbage", "memory.max": "garbage"}, "garbage", ALL, None, id="garbage"
        ),
    ],
)
def test_limits(tmp_path: Path, files: dict[str, str], groups: str, cpus: int, memory: int | None):
    where = write(tmp_path, files, groups)
    assert (cpu_count(*where), memory_limit(*where)) == (cpus, memory)


def test_this_machine():
    assert 1 <= cpu_count() <= ALL
    assert memory_limit() is None or memory_limit() > 0
