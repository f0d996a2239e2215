"""Watch a run of the executor from outside: its time, its memory, its end."""

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from app.task_process import descendants
from verification import REPOSITORY

PERIOD_S = 0.5


@dataclass
class Watched:
    """One process tree from start to end.

    status    exit status, negative for a signal
    seconds   wall time
    cpu_s     processor seconds of its processes
    rss_mb    resident memory of all processes, summed, every half second
    pss_mb    the same with shared pages counted once
    log       its output
    """

    status: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    rss_mb: list[float] = field(default_factory=list)
    pss_mb: list[float] = field(default_factory=list)
    log: str = ""


def watch(env_file: Path, *, kill_after_s: float | None = None) -> Watched:
    """Run `python -m app.start`; SIGKILL all of it after `kill_after_s` seconds."""
    found = Watched()
    log_file = env_file.with_name("log.txt")
    environ = {**os.environ, "DEFAULT_ENV_FILE_PATH": str(env_file)}
    started, cpu_before = time.monotonic(), _cpu_s_of_children()
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.start"],
            cwd=REPOSITORY,
            env=environ,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        while process.poll() is None:
            pids = [process.pid, *descendants(process.pid)]
            found.rss_mb.append(sum(_memory_mb(pid, "Rss") for pid in pids))
            found.pss_mb.append(sum(_memory_mb(pid, "Pss") for pid in pids))
            found.cpu_s = sum(map(_cpu_s, pids))
            if kill_after_s is not None and time.monotonic() - started > kill_after_s:
                _kill(pids)
            with suppress(subprocess.TimeoutExpired):
                process.wait(PERIOD_S)
    found.status, found.seconds = process.returncode, time.monotonic() - started
    # A process that ends by itself is counted to its end, a killed one to the last look at it.
    found.cpu_s = max(found.cpu_s, _cpu_s_of_children() - cpu_before)
    found.log = log_file.read_text(encoding="utf-8", errors="replace")
    return found


def _kill(pids: list[int]) -> None:
    """Kill all processes at once, as a power cut does."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _memory_mb(pid: int, kind: str) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(f"{kind}:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _cpu_s(pid: int) -> float:
    """Processor seconds of a process and of the children that it has waited for."""
    with suppress(OSError):
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, after_name[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _cpu_s_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
