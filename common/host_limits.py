"""The numbers of processors and bytes that the container may use; standard library only.

Both versions of control groups are supported. A container sees its own group at the root of the
mount, a process of the host at the path of /proc/self/cgroup; the smallest limit on the way counts.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUP_MOUNT = Path("/sys/fs/cgroup")
CGROUP_FILE = Path("/proc/self/cgroup")

_NO_LIMIT = 1 << 50  # version 1 writes "no limit" as a very large number


def cpu_count(mount: Path = CGROUP_MOUNT, groups: Path = CGROUP_FILE) -> int:
    """Return the number of usable processors, at least 1: those allowed, or a smaller quota.

    A quota (`--cpus`) is rounded down: one throttled thread would make the others wait for it.
    """
    limit = float(len(os.sched_getaffinity(0)))
    for folder in _folders("cpu", mount, groups):
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = (folder / "cpu.max").read_text().split()
            limit = min(limit, int(quota) / int(period))
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota = (folder / "cpu.cfs_quota_us").read_text()
            if int(quota) > 0:
                period = (folder / "cpu.cfs_period_us").read_text()
                limit = min(limit, int(quota) / int(period))
    return max(int(limit), 1)


def memory_limit(mount: Path = CGROUP_MOUNT, groups: Path = CGROUP_FILE) -> int | None:
    """Return the bytes that the container may use; None without a limit."""
    found = []
    for folder in _folders("memory", mount, groups):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):
                found.append(int((folder / name).read_text()))
    return min((limit for limit in found if limit < _NO_LIMIT), default=None)


def _folders(controller: str, mount: Path, groups: Path) -> Iterator[Path]:
    """Yield the folders that may hold limits of this process: its groups and their parents."""
    paths = {mount: "/", mount / controller: "/"}
    with suppress(OSError, ValueError):
        for line in groups.read_text().splitlines():
            _, names, path = line.split(":", 2)
            if not names:
                paths[mount] = path
            elif controller in names.split(","):
                paths[mount / controller] = path
    for top, path in paths.items():
        folder = top / path.strip("/")
        while folder != top and folder.is_relative_to(top):
            yield folder
            folder = folder.parent
        yield top
