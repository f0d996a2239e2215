"""One run from env.yaml to exit status, around a task process that may crash, hang or be killed.

Only the supervisor writes monitor.txt, the exit status and the last lines of the log. It is
small and never imports torch, so that a crash of the task cannot end it.
"""

import logging
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.launchers import several_processes
from app.settings_check import check_settings
from app.stop_signals import StopSignals
from app.task_process import Ending, TaskProcess, task_environment
from common.files import remove_remains, require_writable
from executor.channel import Failure, ReportReader
from executor.env import Env, OutputPaths, load_env, salvaged_env
from executor.errors import ConfigError, ExecutorError, OutputError, StoppedError
from executor.journal import remove_journals
from executor.logs import setup_logging
from executor.monitor import Monitor, one_line
from executor.output_files import output_error
from executor.output_lock import output_lock
from executor.task_words import Task

logger = logging.getLogger(__name__)

_MIN_INTERVAL_S = 1.0  # between two records
_MAX_INTERVAL_S = 5.0
_TERMINATION_LOG = Path("/dev/termination-log")  # Kubernetes shows its content


@dataclass(frozen=True)
class Settings:
    """The settings of the supervisor itself.

    grace_s  seconds from the first stop signal until the task is killed
    stall_s  seconds without a report after which the log says so
    on_progress  is called with the finished fraction, 0 to 1, at each report of the task
    """

    env_file: Path
    task_command: tuple[str, ...]
    environ: Mapping[str, str]
    grace_s: float
    stall_s: float
    on_progress: Callable[[float], None] = lambda fraction: None


def supervise(settings: Settings, signals: StopSignals) -> ExecutorError | None:
    """Run the tasks of env.yaml; return the error of a failed run, which ends the log."""
    setup_logging()
    error = _outcome(settings, signals)
    _last_words(error)
    return error


def _outcome(settings: Settings, signals: StopSignals) -> ExecutorError | None:
    env, error = _read_env(settings.env_file)
    output = env.output
    launch = several_processes(settings.environ)
    if launch is not None:
        error = ConfigError(launch.refusal("a task uses every GPU of gpu_id by itself"))
        if launch.rank:
            return error  # only the process of rank 0 writes monitor.txt
    if error is not None and env == Env() and not output.root_dir.is_dir():
        return error  # not in a container: nobody reads /out/monitor.txt
    try:
        _make_folders(output)
        holder = f"process {os.getpid()} of {socket.gethostname()} since {time.ctime()}"
        with output_lock(output.root_dir, holder):
            monitor = Monitor(output.monitor_file, env.task_id)
            monitor.running(0.0, "starting")
            error = error or _attempt(env, monitor, settings, signals)
            if error is not None:
                monitor.failed(error)
            else:
                monitor.done()
                # Only now: a run that is killed before this point can still be resumed.
                remove_journals(output.root_dir)
    except OutputError as output_problem:
        error = error or output_problem
    return error


def _read_env(path: Path) -> tuple[Env, ExecutorError | None]:
    """Return the run's env, or its readable part together with the error."""
    try:
        return load_env(path), None
    except ConfigError as error:
        return salvaged_env(path), error


def _folders(output: OutputPaths, tasks: Iterable[Task]) -> list[Path]:
    """Return the result folders of some tasks, in the order of the tasks."""
    folders = [output.root_dir, output.monitor_file.parent]
    for task in tasks:
        if task is Task.TRAINING:
            folders += [output.models_dir, output.tensorboard_dir]
        folders.append(output.result_file(task).parent)
    return list(dict.fromkeys(folders))


def _make_folders(output: OutputPaths) -> None:
    for folder in _folders(output, Task):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(folder, error) from error


def _require_writable(output: OutputPaths, tasks: Iterable[Task]) -> None:
    """Raise OutputError if a folder is not writable: an earlier run may have had another user.

    The check comes first because the first result may take hours.
    """
    folders = _folders(output, tasks)
    if output.monitor_file.parent != output.root_dir:
        folders.remove(output.monitor_file.parent)  # missing progress must not end a run
    for folder in folders:
        try:
            # Results of a training are written again with each better model.
            require_writable(folder, again=Task.TRAINING in tasks)
        except OSError as error:
            raise output_error(folder, error) from error


def _attempt(
    env: Env, monitor: Monitor, settings: Settings, signals: StopSignals
) -> ExecutorError | None:
    """Run the tasks; return the error of a failure or None."""
    try:
        tasks = env.require_tasks()
        _require_writable(env.output, tasks)
        for remark in check_settings(env, tasks):
            logger.warning("%s", remark)
        for folder in (env.output.root_dir, env.output.models_dir):
            remove_remains(folder)
        logger.info("asked for: %s", ", ".join(task.value for task in tasks))
        ending = _Watch(monitor, settings, signals).run()
        error = ending.error() or _missing_result(env, tasks)
        if ending.stopped_by and error is not None and error.exit_status == 70:
            return ending.stopped()
        return error
    except ExecutorError as error:
        return error
    except Exception:
        logger.exception("a fault in the supervisor")
        return ExecutorError("the supervisor failed (stack above); please report it")


def _missing_result(env: Env, tasks: tuple[Task, ...]) -> ExecutorError | None:
    for task in tasks:
        path = env.output.result_file(task)
        try:
            if path.is_file():
                continue
        except OSError as error:
            return output_error(path, error)
        return ExecutorError(f"{task.value} ended without {path}; please report it")
    return None


class _Watch:
    """The supervision of one task process."""

    def __init__(self, monitor: Monitor, settings: Settings, signals: StopSignals) -> None:
        self._monitor = monitor
        self._settings = settings
        self._signals = signals
        self._fraction = 0.0
        self._message = ""
        self._stall = ""
        self._failure: Failure | None = None
        self._record_time = time.monotonic()
        self._recorded = (0.0, "")
        self._report_time = time.monotonic()
        self._kill_time = float("inf")
        self._was_killed = False

    def run(self) -> Ending:
        """Start the task and follow it to its end."""
        if self._signals.count:
            raise StoppedError(f"stopped by {self._signals.name} before the task began")
        process = TaskProcess(self._settings.task_command, task_environment(self._settings.environ))
        try:
            self._follow(process)
        finally:
            status = process.kill()
        return Ending(status, self._failure, self._signals.name, self._was_killed)

    def _follow(self, process: TaskProcess) -> None:
        """Relay reports and stop signals until the task has ended."""
        reader = ReportReader()
        with selectors.DefaultSelector() as selector:
            selector.register(process.reports, selectors.EVENT_READ)
            selector.register(self._signals.descriptor, selectors.EVENT_READ)
            while True:
                has_ended = process.poll() is not None
                for key, _ in selector.select(timeout=0 if has_ended else _MIN_INTERVAL_S / 2):
                    if key.fd == self._signals.descriptor:
                        self._signals.drain()
                    elif not self._receive(process, reader):
                        selector.unregister(process.reports)
                if has_ended:
                    break
                self._stop_if_asked(process)
                self._record()
                self._warn_if_stalled(process)

    def _receive(self, process: TaskProcess, reader: ReportReader) -> bool:
        """Read the reports of the task; return False at the end of the stream."""
        with suppress(BlockingIOError):
            while data := os.read(process.reports, 1 << 16):
                for report in reader.feed(data):
                    self._report_time, self._stall = time.monotonic(), ""
                    if report.progress is not None:
                        self._fraction = max(self._fraction, report.progress)
                        self._settings.on_progress(self._fraction)
                    self._failure = report.failure or self._failure
            return False
        return True

    def _stop_if_asked(self, process: TaskProcess) -> None:
        if self._signals.count and self._kill_time == float("inf"):
            logger.warning("%s: the task is asked to save and end", self._signals.name)
            self._kill_time = time.monotonic() + self._settings.grace_s
            self._message = "stopping"
            process.terminate()
        if self._signals.count > 1 or time.monotonic() > self._kill_time:
            self._was_killed = process.poll() is None
            process.kill()

    def _record(self) -> None:
        """Write a record at most once a second if it is new, else every few seconds."""
        state = (self._fraction, self._stall or self._message)
        age_s = time.monotonic() - self._record_time
        if age_s >= (_MIN_INTERVAL_S if state != self._recorded else _MAX_INTERVAL_S):
            # 1.0 is written only after the results were checked.
            self._monitor.running(min(self._fraction, 0.9999), state[1])
            self._record_time, self._recorded = time.monotonic(), state

    def _warn_if_stalled(self, process: TaskProcess) -> None:
        silent_s = time.monotonic() - self._report_time
        if silent_s > self._settings.stall_s:
            self._report_time = time.monotonic()
            self._stall = f"no sign of progress for {silent_s:.0f} s"
            logger.warning("%s; is the storage of the images slow, or gone?", self._stall)
            process.dump_stacks()


def _last_words(error: ExecutorError | None) -> None:
    """Log the outcome as the last lines."""
    if error is None:
        logger.info("done")
        return
    for line in str(error).splitlines():
        logger.error("%s", line)
    with suppress(OSError):
        if _TERMINATION_LOG.is_file():
            _TERMINATION_LOG.write_text(one_line(str(error), 4000))
