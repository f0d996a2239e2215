"""Tasks on two folders: a fake task of a few lines, and two real ones with tiny images."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.detex.display import Pace, Work
from tests.app.detex.conftest import REPOSITORY, Detex
from verification.reliability.trees import COLOURS, LIGHT, annotate, paint

# `detex` whose task is a program that is given in the first argument.
WITH_TASK = """
import functools, sys, app.start
app.start.run = functools.partial(app.start.run, [sys.executable, "-c", sys.argv.pop(1)])
from app.detex.__main__ import main
main()
"""

TASK = """
import json, os, sys, time
fd = int(sys.argv[sys.argv.index("--report-fd") + 1])
env = sys.argv[sys.argv.index("--env") + 1]
out = os.environ["EXECUTOR_OUT"]
def report(**content):
    os.write(fd, json.dumps(content).encode() + b"\\n")
def finish():
    open(out + "/result.tsv", "w").write("x")
    open(out + "/infer-result.json", "w").write("x")
"""


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """An `in` with settings for mining and infer, and nothing to look at."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/config.yaml").write_text("conf_threshold: 0.5\n")
    (tmp_path / "in/candidate-index.tsv").write_text("/in/a.jpg\n\n/in/b.jpg\n")
    return tmp_path


def started(task: str, *words: str, folders: Path, **kind: Any) -> "subprocess.Popen[str]":
    places = ("--in", str(folders / "in"), "--out", str(folders / "out"))
    command = [sys.executable, "-c", WITH_TASK, TASK + task, *words[:1], *places, *words[1:]]
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm"}
    return subprocess.Popen(command, cwd=folders, env=environ, text=True, **kind)


def said(task: str, *words: str, folders: Path) -> tuple[int, str, str]:
    """Status, standard output and standard error."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = started(task, *words, folders=folders, **pipes)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("verb", "env", "status", "sentence"),
    [
        pytest.param("infer", None, 0, "asked for: infer", id="the verb, without env.yaml"),
        pytest.param("infer", "task_id: a", 0, "asked for: infer", id="env.yaml does not say"),
        pytest.param("mine", "run_mining: 1", 0, "asked for: mining", id="both say the same"),
        pytest.param("run", "run_infer: 1", 0, "asked for: infer", id="env.yaml alone"),
        pytest.param("run", "run_mining: 1\nrun_infer: 1", 0, "mining, infer", id="two tasks"),
        pytest.param("mine", "run_infer: 1", 2, "asks for infer, the command", id="they disagree"),
        pytest.param("mine", "run_mining: 1\nrun_infer: 1", 2, "mining and infer", id="one of two"),
        pytest.param("infer", "run_infr: 1", 2, "did you mean", id="a wrong key"),
        pytest.param("run", "task_id: a", 2, "no task is asked for", id="nobody says"),
    ],
)
def test_which_task(folders: Path, verb: str, env: str | None, status: int, sentence: str) -> None:
    if env is not None:
        (folders / "in/env.yaml").write_text(env + "\n")
    code, log, _ = said("finish()", verb, folders=folders)
    assert (code, sentence in log) == (status, True), log
    record = (folders / "out/monitor.txt").read_text().split("\t")
    assert record[3:5] == (["2", "0"] if status == 0 else ["4", "300001"])


def test_in_and_out_of_env_yaml_are_the_folders(folders: Path) -> None:
    (folders / "in/env.yaml").write_text(
        "run_infer: 1\ninput: {root_dir: /in, candidate_index_file: /in/lists/all.tsv}\n"
        "output: {root_dir: /out, monitor_file: /out/watch/monitor.txt}\n"
    )
    code, log, _ = said("finish()", "run", folders=folders)
    assert code == 0, log
    assert (folders / "out/watch/monitor.txt").is_file()


@pytest.mark.parametrize(
    ("task", "status", "reason"),
    [
        pytest.param("finish()", 0, "done", id="done"),
        pytest.param(
            "report(failure=dict(code=300002, exit_status=3, reason='no images')); sys.exit(3)",
            3,
            "no images",
            id="a reported failure",
        ),
        pytest.param("os.kill(os.getpid(), 9)", 6, "memory", id="killed"),
        pytest.param("pass", 70, "ended without", id="no result"),
    ],
)
def test_status_log_and_monitor_are_the_container_s(
    folders: Path, task: str, status: int, reason: str
) -> None:
    code, log, _ = said(task, "infer", folders=folders)
    assert code == status
    assert reason in log.splitlines()[-1]
    assert reason in (folders / "out/monitor.txt").read_text()


def test_json_lines(folders: Path) -> None:
    task = (
        "print('speaking'); report(progress=0.25); time.sleep(1.2); report(progress=1.0); finish()"
    )
    code, out, log = said(task, "infer", "--json", folders=folders)
    assert code == 0, log
    *progress, result = map(json.loads, out.splitlines())
    assert [line["event"] for line in progress] == ["progress"] * 2
    assert [line["fraction"] for line in progress] == [0.25, 1.0]
    assert result["event"] == "result"
    assert result["results"] == {"infer": str(folders / "out/infer-result.json")}
    assert (result["status"], result["error"]) == (0, None)
    assert "speaking" in log
    assert "INFO: done" in log


def test_json_of_a_failure(folders: Path) -> None:
    (folders / "in/config.yaml").write_text("conf_treshold: 0.5\n")
    code, out, _ = said("finish()", "infer", "--json", folders=folders)
    (result,) = map(json.loads, out.splitlines())
    assert code == result["status"] == 2
    assert result["code"] == 300001
    assert "did you mean 'conf_threshold'" in result["error"]


def read_terminal(terminal: int, process: "subprocess.Popen[str]") -> str:
    """What is shown until the process ends."""
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 1 << 16)
            except OSError:
                break
        elif process.poll() is not None:
            break
    return shown.decode()


def test_a_terminal_gets_a_bar_below_the_log(folders: Path) -> None:
    task = (
        "report(progress=0.25); print('speaking'); time.sleep(2.5); report(progress=0.5); finish()"
    )
    terminal, other = pty.openpty()
    kind = {"stdin": other, "stdout": other, "stderr": other, "start_new_session": True}
    process = started(task, "infer", folders=folders, **kind)
    os.close(other)
    shown = read_terminal(terminal, process)
    assert process.wait(timeout=20) == 0, shown
    assert "speaking" in shown
    assert "25.0 %" in shown
    assert " images/s, 0:00:" in shown
    assert " left" in shown
    assert "INFO: done" in shown


def test_a_stop_lets_the_task_save(folders: Path) -> None:
    task = """
import signal
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
open(out + "/begun", "w").write("x")
time.sleep(60)
"""
    process = started(task, "mine", folders=folders, stdout=subprocess.PIPE)
    while not (folders / "out/begun").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 143
    assert "stopped by SIGTERM" in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("reports", "per_second", "left_s"),
    [
        pytest.param([], 0.0, None, id="nothing yet"),
        pytest.param([(0, 0.02)], 0.0, None, id="one report"),
        pytest.param([(0, 0.02), (1, 0.5)], 0.0, None, id="too soon"),
        pytest.param([(0, 0.0), (10, 0.2)], 0.02, 40.0, id="steady"),
        pytest.param([(0, 0.5), (10, 0.6)], 0.01, 40.0, id="taken up again"),
        pytest.param([(0, 0.0), (10, 0.5), (100, 0.6), (130, 0.7)], 0.1 / 30, 90.0, id="slower"),
        pytest.param([(0, 0.0), (10, 1.0)], 0.1, 0.0, id="done"),
    ],
)
def test_pace(reports: list[tuple[float, float]], per_second: float, left_s: float | None) -> None:
    now = 0.0
    pace = Pace(Work(), clock=lambda: now)
    for now, fraction in reports:  # noqa: B007
        pace.note(fraction)
    assert pace.per_second == pytest.approx(per_second)
    assert pace.left_s == pytest.approx(left_s)


@pytest.mark.parametrize(
    ("work", "text", "rate", "unit"),
    [
        pytest.param(Work(), "120.0 %/min, 0:00:45 left", 120.0, "%/min", id="unknown work"),
        pytest.param(
            Work(970, "images"), "20.0 images/s, 0:00:45 left", 20.0, "images/s", id="images"
        ),
    ],
)
def test_how_fast_it_goes(work: Work, text: str, rate: float, unit: str) -> None:
    now = 0.0
    pace = Pace(work, clock=lambda: now)
    pace.note(0.0)
    assert (pace.text(), pace.numbers()["rate"]) == ("", None)
    now = 5.0
    pace.note(0.1)
    assert pace.text() == text
    assert pace.numbers() == {"rate": rate, "unit": unit, "elapsed_s": 5.0, "left_s": 45.0}


Make = Callable[[Path, str], Path]


@pytest.fixture
def real(tmp_path: Path) -> Make:
    """Makes a task's folder of eight annotated images and three others, which its index calls by
    names below `root`.
    """

    def make(folder: Path, root: str) -> Path:
        (folder / "in/assets").mkdir(parents=True)
        lines = []
        for i in range(8):
            annotate(folder / f"in/assets/{i}.txt", paint(folder / f"in/assets/{i}.png", i, 2))
            lines.append(f"{root}/assets/{i}.png\t{root}/assets/{i}.txt\n")
        (folder / "in/train-index.tsv").write_text("".join(lines[:6]))
        (folder / "in/val-index.tsv").write_text("".join(lines[6:]))
        for i in range(3):
            paint(folder / f"in/assets/candidate {i}.png", 100 + i, i)
        names = [f"{root}/assets/candidate {i}.png\n" for i in range(3)]
        (folder / "in/candidate-index.tsv").write_text("".join(names))
        config = {"class_names": list(COLOURS), "gpu_id": "", "image_size": 64, "max_iter": 2}
        config |= {"config_file": LIGHT, "args_options": "MODEL.WEIGHTS ''", "num_workers": 0}
        (folder / "in/config.yaml").write_text(json.dumps(config))
        return folder

    return make


@pytest.mark.slow
def test_results_are_those_of_folders_that_are_called_by_their_paths(
    detex: Detex, real: Make, tmp_path: Path
) -> None:
    """Byte for byte: two runs of the container's command, which is told where the folders lie, and
    two runs of `detex` on lists that say /in.
    """
    theirs = real(tmp_path / "theirs", str(tmp_path / "theirs/in"))
    ours = real(tmp_path / "ours", "/in")
    for asked, verb in (("training",), "train"), (("mining", "infer"), "run"):
        env = "".join(f"run_{task}: true\n" for task in asked) + "protocol_version: 1.1.0\n"
        roots = f"input: {{root_dir: {theirs}/in}}\noutput: {{root_dir: {theirs}/out}}\n"
        (theirs / "in/env.yaml").write_text(env + roots)
        environ = {**os.environ, "DEFAULT_ENV_FILE_PATH": str(theirs / "in/env.yaml")}
        start = [sys.executable, "-m", "app.start"]
        done = subprocess.run(start, cwd=REPOSITORY, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        if verb == "run":
            (ours / "in/env.yaml").write_text(env)
        done = detex(verb, "--in", "ours/in", "--out", "ours/out", cwd=tmp_path)
        assert done.returncode == 0, done.stdout
        for folder in (theirs, ours):
            stage = next((folder / "out/models").glob("iter_*"))
            stage.rename(folder / "in/models") if verb == "train" else None
            # Listed by the name that settings use; the model's own folder is checked, too.
            root = f"{theirs}/in" if folder is theirs else "/in"
            config = {"model_params_path": [f"{root}/models/model.pth"], "image_size": 64}
            config |= {"gpu_id": "", "conf_threshold": 0.0}
            (folder / "in/config.yaml").write_text(json.dumps(config))
    assert (ours / "in/models/config.yaml").read_bytes() == (
        theirs / "in/models/config.yaml"
    ).read_bytes()
    assert (ours / "in/models/model.pth").read_bytes() == (
        theirs / "in/models/model.pth"
    ).read_bytes()
    found = (ours / "out/infer-result.json").read_bytes()
    assert found == (theirs / "out/infer-result.json").read_bytes()
    assert b"red box" in found
    ranked = (theirs / "out/result.tsv").read_text().replace(f"{theirs}/in", "/in")
    assert (ours / "out/result.tsv").read_text() == ranked
    assert ranked.startswith("/in/assets/candidate ")
