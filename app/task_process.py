"""The task process from its supervisor's side: start, stop, and the meaning of its end.

It runs in its own session and dies with the supervisor. All processes that it leaves behind are
killed, because a forgotten process would keep GPU memory.
"""

import os
import pwd
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.host_limits import cpu_count, memory_limit
from common.processes import adopt_orphans, die_with
from executor.channel import Failure
from executor.errors import DeviceError, ExecutorError, OutOfMemoryError, StoppedError

# Large activations are otherwise mapped, zeroed and unmapped for every layer: 1.35 to 1.55 times
# slower on a CPU. Read by the C library when a process starts.
_ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
    "THP_MEM_ALLOC_ENABLE": "1",
}
_CACHES = {
    "XDG_CACHE_HOME": ".cache",
    "XDG_CONFIG_HOME": ".config",
    "MPLCONFIGDIR": ".config/matplotlib",
    "TORCH_HOME": ".cache/torch",
    "TORCHINDUCTOR_CACHE_DIR": ".cache/inductor",
    "TRITON_CACHE_DIR": ".cache/triton",
}


def task_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the task's variables: set ones are kept; users without a home get one in /tmp."""
    defaults = {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1", **_ALLOCATOR}
    # Libraries count the processors of the host, of which a container may use a few.
    defaults["OMP_NUM_THREADS"] = str(cpu_count())
    # Threads that spin while they wait take the cores from the others that share them: steps of
    # two trainings on two cores took four times as long (verification/reliability/wait_policy.py).
    defaults["OMP_WAIT_POLICY"] = "passive"
    result = {**defaults, **environ}
    root = str(Path(__file__).resolve().parents[1])
    result["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environ.get("PYTHONPATH")]))
    if not os.access(environ.get("HOME") or "/nonexistent", os.W_OK | os.X_OK):
        home = Path(tempfile.gettempdir())
        result["HOME"] = str(home)
        for variable, folder in _CACHES.items():
            result.setdefault(variable, str(home / folder))
    if not _has_a_name():
        result.setdefault("USER", "user")
        result.setdefault("LOGNAME", "user")
    return result


def _has_a_name() -> bool:
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True


class TaskProcess:
    """The running task, and the descriptor on which its reports arrive."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start `command` with `--report-fd N` appended, N being its end of the pipe."""
        adopt_orphans()  # so that `kill` finds them
        self.reports, writer = os.pipe()
        supervisor = os.getpid()
        try:
            self._process = subprocess.Popen(
                [*command, "--report-fd", str(writer)],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                pass_fds=(writer,),
                start_new_session=True,
                preexec_fn=lambda: _bind_to(supervisor),
            )
        except OSError as error:
            raise ExecutorError(
                f"the task process cannot be started ({error.strerror}: {error.filename});"
                " check the container's limits on processes and memory"
            ) from error
        finally:
            os.close(writer)
        os.set_blocking(self.reports, False)

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while the task runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask only the task to save and end: its workers must live until it has saved."""
        self._process.terminate()

    def dump_stacks(self) -> bool:
        """Have the task log the stacks of all its threads; False if it has no handler for that."""
        if self.poll() is not None or not _catches(self._process.pid, signal.SIGUSR1):
            return False
        self._process.send_signal(signal.SIGUSR1)
        return True

    def kill(self) -> int:
        """Kill the task and all processes that it started; return the task's exit status."""
        while victims := descendants(os.getpid()):
            for pid in victims:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        status = self._process.wait()
        _reap()
        return status


def _bind_to(supervisor: int) -> None:
    """In the new process: die with the supervisor, and be killed first if memory runs out."""
    die_with(supervisor)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def descendants(ancestor: int) -> list[int]:
    """Return the running processes that `ancestor` started, directly or not; parents first."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # pid (name, which may hold anything) state parent ...
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(folder.name))
    found = children.get(ancestor, [])
    for pid in found:  # the list grows during the loop
        found.extend(children.get(pid, []))
    return found


def _catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal, which would otherwise end it."""
    with suppress(OSError, ValueError, IndexError):
        status = Path(f"/proc/{pid}/status").read_text()
        mask = int(status.split("SigCgt:")[1].split()[0], 16)
        return bool(mask >> (number - 1) & 1)
    return False


@dataclass(frozen=True)
class Ending:
    """How the task ended.

    status      exit status, negative for a signal
    failure     the failure that the task reported; None if it reported none
    stopped_by  name of the signal that made the supervisor stop it; '' if none did
    was_killed  whether the supervisor had to kill it
    """

    status: int
    failure: Failure | None = None
    stopped_by: str = ""
    was_killed: bool = False

    def error(self) -> ExecutorError | None:
        """Return the error to report to the platform; None for a success."""
        if self.failure is not None and not (self.stopped_by and self.was_killed):
            return self.failure.as_error()
        if self.status == 0:
            return None
        if self.stopped_by:
            return self.stopped()
        if self.status < 0:
            return _killed_by(-self.status)
        return ExecutorError(
            f"the task ended with status {self.status} and gave no reason;"
            " the log above may tell, please report it"
        )

    def stopped(self) -> StoppedError:
        """Return the error that says that the run was stopped before its end."""
        how = "had to be killed" if self.was_killed else "has ended"
        return StoppedError(
            f"stopped by {self.stopped_by}: the task {how}; start it again to resume"
        )


def _killed_by(number: int) -> ExecutorError:
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number == signal.SIGKILL:
        return OutOfMemoryError(
            f"the task was killed from outside (SIGKILL), most likely because the host's memory"
            f"{_limit_text()} ran out; use a smaller batch_size or image_size, fewer num_workers,"
            " or give the container more memory"
        )
    if number == signal.SIGBUS:
        return OutOfMemoryError(
            "the task died of SIGBUS, most likely because shared memory ran out;"
            " raise shm_size (docker run --shm-size) or lower num_workers"
        )
    if number == signal.SIGILL:
        return DeviceError(
            "the task died of SIGILL: this processor lacks instructions that the image needs;"
            " run it on a newer machine"
        )
    if number in (signal.SIGTERM, signal.SIGINT):
        return StoppedError(f"the task was stopped from outside by {name}; start it again")
    return ExecutorError(
        f"the task died of {name}; the stacks in the log above show where, please report them"
    )


def _limit_text() -> str:
    """Return the container's memory limit as ' (limit 4.0 GiB)'; '' if there is none."""
    limit = memory_limit()
    return "" if limit is None else f" (limit {limit / (1 << 30):.1f} GiB)"
