"""Whole runs of the supervisor around a task that behaves well, badly, or not at all."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.supervisor import _make_folders, _require_writable
from executor.env import OutputPaths
from executor.errors import OutputError
from executor.journal import journal_path
from executor.task_words import Task

# Where nothing is said about /out, another folder must do.
SUPERVISOR = """
import os, sys
from pathlib import Path
from verification.fuzz.runs import send_output_to
send_output_to(Path(os.environ["TEST_OUT"]))
from app.start import main
sys.exit(main([sys.executable, "-c", sys.argv[1]]))
"""

TASK_HEAD = """
import json, os, signal, subprocess, sys, time
report_fd = int(sys.argv[sys.argv.index("--report-fd") + 1])
env_file = sys.argv[sys.argv.index("--env") + 1]
out = os.environ["TEST_OUT"]
def report(**content):
    os.write(report_fd, json.dumps(content).encode() + b"\\n")
def finish():
    with open(out + "/models/result.yaml", "w") as stream:
        stream.write("x: 1")
def helper():
    process = subprocess.Popen(
        ["sleep", "300"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with open(out + "/helper", "w") as stream:
        stream.write(str(process.pid))
"""


@dataclass
class Run:
    """A run in progress on a pair of folders."""

    process: subprocess.Popen[str]
    out: Path

    def wait(self, timeout_s: float = 20) -> int:
        """Its exit status."""
        self.log, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode

    def monitor(self) -> list[str]:
        """Fields of the first line of monitor.txt."""
        return (self.out / "monitor.txt").read_text().split("\n")[0].split("\t")

    def await_file(self, name: str) -> None:
        """Until the file is there and not empty."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if (self.out / name).exists() and (self.out / name).read_text():
                return
            time.sleep(0.01)
        raise AssertionError(f"{name} never came")


Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a supervisor; what still runs at the end is killed."""
    runs: list[Run] = []

    def begin(
        task: str = "",
        *,
        env: str = "run_training: true",
        config: str = "class_names: [cat]",
        **variables: str,
    ) -> Run:
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / "config.yaml").write_text(config)
        roots = f"input: {{root_dir: {tmp_path}/in}}\noutput: {{root_dir: {tmp_path}/out}}\n"
        env_file = tmp_path / "in" / "env.yaml"
        env_file.write_text(f"{roots}task_id: t1\nprotocol_version: 1.1.0\n{env}\n")
        process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, TASK_HEAD + task],
            cwd=Path(__file__).parents[2],
            env={
                **os.environ,
                "DEFAULT_ENV_FILE_PATH": str(env_file),
                "TEST_OUT": str(tmp_path / "out"),
                "EXECUTOR_GRACE_S": "5",
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        runs.append(Run(process, tmp_path / "out"))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
        run.process.communicate()


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"WORLD_SIZE": "2", "RANK": "{}", "LOCAL_RANK": "{}"}, id="torchrun"),
        pytest.param({"SLURM_NTASKS": "2", "SLURM_PROCID": "{}"}, id="srun"),
    ],
)
def test_several_processes_are_refused(start: Start, variables: dict[str, str]):
    """The first one tells the platform; the others leave /out alone."""
    for rank in ("1", "0"):
        run = start("finish()", **{name: text.format(rank) for name, text in variables.items()})
        assert run.wait() == 2
        assert "started 2 processes of this program" in run.log.splitlines()[-1]
        assert run.out.exists() == (rank == "0")
    assert run.monitor()[3:5] == ["4", "300001"]


def test_one_process_of_a_job_runs(start: Start):
    run = start("finish()", WORLD_SIZE="1", RANK="0", LOCAL_RANK="0", SLURM_NTASKS="1")
    assert run.wait() == 0


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children_cpu_s() -> float:
    """Processor seconds of the ended children of this process."""
    times = os.times()
    return times.children_user + times.children_system


def test_success(start: Start):
    run = start(
        """
assert os.environ["HOME"] and os.path.samefile(env_file, os.environ["DEFAULT_ENV_FILE_PATH"])
report(progress=0.5)
print("task speaking")
finish()
"""
    )
    assert run.wait() == 0, run.log
    assert run.monitor()[0] == "t1"
    assert run.monitor()[2:5] == ["1.0000", "2", "0"]
    assert "task speaking" in run.log
    assert run.log.splitlines()[-1].endswith("INFO: done")
    assert (run.out / "tensorboard").is_dir()


def test_the_whole_work_is_done_only_when_the_supervisor_says_so(start: Start):
    """A task that has told 1.0 may still fail, and platforms take 1.0 for the end."""
    run = start(
        """
def fraction():
    return open(out + "/monitor.txt").read().split("\\t")[2]
report(progress=1.0)
while float(fraction()) < 0.5:
    time.sleep(0.02)
print("told:", fraction(), flush=True)
sys.exit(1)
"""
    )
    assert run.wait() == 70
    assert "told: 0.9999" in run.log
    assert run.monitor()[2:4] == ["0.9999", "4"]


def test_progress_is_relayed_and_never_falls(start: Start):
    run = start(
        """
for fraction in (0.2, 0.6, 0.4, 0.7):
    report(progress=fraction)
    report(message="step")
    time.sleep(0.55)
finish()
"""
    )
    run.await_file("monitor.txt")
    seen: list[tuple[str, float]] = []
    while run.process.poll() is None:
        record = run.monitor()
        assert len(record) == 6
        seen.append((record[1], float(record[2])))
        time.sleep(0.005)
    assert run.wait() == 0
    fractions = [fraction for _, fraction in seen]
    assert fractions == sorted(fractions)
    assert any(0.1 < fraction < 0.7 for fraction in fractions)
    assert len({moment for moment, _ in seen}) >= 3


@pytest.mark.parametrize(
    ("task", "status", "code", "reason"),
    [
        pytest.param(
            "report(failure=dict(code=300002, exit_status=3, reason='no images')); sys.exit(3)",
            3,
            300002,
            "no images",
            id="a reported failure",
        ),
        pytest.param(
            "report(failure=dict(code=300201, exit_status=7, reason='NaN')); sys.exit(0)",
            7,
            300201,
            "NaN",
            id="a reported failure, but status 0",
        ),
        pytest.param("os.kill(os.getpid(), 9)", 6, 300103, "memory", id="killed"),
        pytest.param("os.kill(os.getpid(), 11)", 70, 160004, "SIGSEGV", id="crashed"),
        pytest.param("raise ValueError('x')", 70, 160004, "status 1", id="a traceback"),
        pytest.param("pass", 70, 160004, "without", id="success without results"),
    ],
)
def test_failures(start: Start, task: str, status: int, code: int, reason: str):
    run = start(task)
    assert run.wait() == status, run.log
    assert run.monitor()[3:5] == ["4", str(code)]
    assert reason in run.monitor()[5]
    assert reason in "\n".join(run.log.splitlines()[-2:])


def test_nothing_is_left_behind(start: Start):
    run = start("helper(); finish()")
    assert run.wait() == 0
    assert not is_running(int((run.out / "helper").read_text()))


def test_stop_lets_the_task_save(start: Start):
    run = start(
        """
def stop(*_):
    open(out + "/saved", "w").write("yes")
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
helper()
time.sleep(60)
"""
    )
    run.await_file("helper")
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == 143
    assert (run.out / "saved").read_text() == "yes"
    assert run.monitor()[3:5] == ["4", "160004"]
    assert "stopped by SIGTERM" in run.log.splitlines()[-1]
    assert not is_running(int((run.out / "helper").read_text()))


DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN); helper(); time.sleep(60)"


def test_a_deaf_task_is_killed_after_the_grace_time(start: Start):
    run = start(DEAF, EXECUTOR_GRACE_S="0.5")
    run.await_file("helper")
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 143
    assert "stopped by SIGINT: the task had to be killed" in run.log.splitlines()[-1]
    assert run.monitor()[3] == "4"


def test_a_second_signal_does_not_wait(start: Start):
    run = start(DEAF, EXECUTOR_GRACE_S="60")
    run.await_file("helper")
    run.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    run.process.send_signal(signal.SIGTERM)
    assert run.wait(timeout_s=5) == 143


def test_the_task_dies_with_the_supervisor(start: Start):
    run = start("open(out + '/pid', 'w').write(str(os.getpid())); time.sleep(60)")
    run.await_file("pid")
    run.process.kill()
    run.wait()
    deadline = time.monotonic() + 1
    pid = int((run.out / "pid").read_text())
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(pid)


def test_two_runs_on_one_folder(start: Start):
    first = start("open(out + '/begun', 'w').write('x'); time.sleep(60)")
    first.await_file("begun")
    record = first.monitor()[0]
    second = start("finish()")
    assert second.wait() == 8
    assert f"locked by process {first.process.pid}" in second.log.splitlines()[-1]
    assert first.monitor()[0] == record
    assert first.monitor()[3] == "2"
    first.process.kill()
    first.wait()
    assert start("finish()").wait() == 0


@pytest.mark.parametrize(
    ("env", "config", "code", "message"),
    [
        pytest.param("", "class_names: [cat]", "300001", "no task is asked for", id="no task"),
        pytest.param("run_training: 7", "", "300001", "env.yaml:5:1: run_training", id="bad env"),
        pytest.param(
            "run_training: 1",
            "batch_sise: 4\nlearning_rate: -1\n",
            "300001",
            "config.yaml:1:1: batch_sise",
            id="bad config",
        ),
        pytest.param(
            "run_training: 1",
            "class_names: [cat]\nobject_type: 50",
            "300005",
            "object_type",
            id="object type",
        ),
    ],
)
def test_wrong_settings_are_refused_before_anything_starts(
    start: Start, env: str, config: str, code: str, message: str
):
    begin = children_cpu_s()
    run = start("open(out + '/started', 'w').write('x')", env=env, config=config)
    assert run.wait() == 2
    assert children_cpu_s() - begin < 1  # processor time: other work must not fail the test
    assert message in run.log
    assert "Traceback" not in run.log
    assert not (run.out / "started").exists()
    assert run.monitor()[3:5] == ["4", code]


def test_every_wrong_key_is_named(start: Start):
    run = start(config="batch_sise: 4\nlearning_rate: -1\namp: bf15\nfoo: 1\nmax_iter: x\n")
    assert run.wait() == 2
    named = re.findall(r"config\.yaml:(\d+):1: (\w+):", run.log)
    assert named == [
        ("1", "batch_sise"),
        ("1", "class_names"),
        ("2", "learning_rate"),
        ("3", "amp"),
        ("5", "max_iter"),
    ]


def test_mining_and_infer_are_checked_together(start: Start):
    run = start(env="run_mining: 1\nrun_infer: 1", config="conf_threshold: 2\nseed: x\n")
    assert run.wait() == 2
    assert run.log.count("conf_threshold: too large") == 1
    assert "seed: not an integer" in run.log


def test_keys_of_no_effect_are_told_once(start: Start):
    run = start("finish()", config="class_names: [cat]\nrect: 3")
    assert run.wait() == 0
    assert run.log.count("rect: unknown key (got '3'), which has no effect") == 1


def test_silence_is_told_and_stacks_are_dumped(start: Start):
    """Without its handler the task must not get the signal: it would die of it."""
    run = start(
        """
import faulthandler
time.sleep(0.9)
faulthandler.register(signal.SIGUSR1)
time.sleep(1.9)
record = open(out + "/monitor.txt").read()
assert "no sign of progress for" in record, record
finish()
""",
        EXECUTOR_STALL_S="0.5",
    )
    assert run.wait() == 0, run.log
    assert "no sign of progress for" in run.log
    assert 'File "<string>"' in run.log


@pytest.mark.parametrize("in_a_container", [False, True])
@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"run_training: {"])
def test_an_env_file_that_tells_nothing(
    start: Start, tmp_path: Path, content: bytes | None, in_a_container: bool
):
    """Who waits for a record in the usual place gets one; nowhere else is such a place made."""
    env_file = tmp_path / "another.yaml"
    if content is not None:
        env_file.write_bytes(content)
    if in_a_container:
        (tmp_path / "out").mkdir()
    run = start(DEFAULT_ENV_FILE_PATH=str(env_file))
    assert run.wait() == 2
    assert "another.yaml" in run.log.splitlines()[-1]
    assert run.out.exists() == in_a_container
    if in_a_container:
        assert run.monitor()[3:5] == ["4", "300001"]


def test_an_output_folder_that_cannot_be_written(start: Start, tmp_path: Path):
    (tmp_path / "out").write_text("a file where the folder should be")
    begin = children_cpu_s()
    run = start()
    assert run.wait() == 8
    assert children_cpu_s() - begin < 1
    assert "cannot be written" in run.log.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "task", "matters"),
    [
        pytest.param("", Task.INFER, True, id="all of it"),
        pytest.param("models", Task.TRAINING, True, id="models, to train"),
        pytest.param("tensorboard", Task.TRAINING, True, id="curves, to train"),
        pytest.param("models", Task.MINING, False, id="models, to mine"),
    ],
)
def test_a_folder_that_another_user_left_closed(
    name: str, task: Task, matters: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = OutputPaths(root_dir=tmp_path / "out")
    _make_folders(output)
    _require_writable(output, Task)
    real = os.open

    def closed(path: Path, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT and path.parent == tmp_path / "out" / name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, flags, *mode)

    # Not by its mode: to root everything is open.
    monkeypatch.setattr(os, "open", closed)
    refused = pytest.raises(OutputError, match=rf"out/?{name}: cannot be written.*--user")
    with refused if matters else nullcontext():
        _require_writable(output, [task])


def test_leftovers_of_killed_writers_go(start: Start, tmp_path: Path):
    (tmp_path / "out" / "models").mkdir(parents=True)
    leftover = tmp_path / "out" / "models" / ".result.yaml.0123abcd.part"
    leftover.write_text("half")
    assert start("finish()").wait() == 0
    assert not leftover.exists()


@pytest.mark.parametrize("task", ["finish()", "sys.exit(1)"], ids=["done", "failed"])
def test_journals_stay_until_the_run_is_done(start: Start, tmp_path: Path, task: str):
    (tmp_path / "out").mkdir()
    journal = journal_path(tmp_path / "out", "infer")
    journal.write_text("{}")
    status = start(task).wait()
    assert journal.exists() == (status != 0)


def test_the_first_record_comes_within_a_second(start: Start):
    begin = time.monotonic()
    run = start("time.sleep(0.1); finish()")
    run.await_file("monitor.txt")
    assert time.monotonic() - begin < 5  # a third of a second on an idle machine
    assert run.wait() == 0


def test_supervising_stays_light():
    """No torch, no numpy: the supervisor must outlive whatever the task does to the memory."""
    code = (
        "import sys, json, app.start, app.supervisor;"
        "print(json.dumps([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules]))"
    )
    found = subprocess.check_output([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    assert json.loads(found) == []
