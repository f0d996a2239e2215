"""Tasks in containers as platforms start, limit, stop and kill them."""

import random
import re
import shutil
import time
from typing import Any

import pytest

pytestmark = pytest.mark.image

STAGE = re.compile(r"iter_(\d+)")
LONG = {"max_iter": 4000, "eval_period": 1000, "checkpoint_period": 5, "num_workers": 0}


def start_iterations(log: str) -> list[int]:
    """Where each training in a log began."""
    return [int(number) for number in re.findall(r"Starting training from iteration (\d+)", log)]


def test_the_default_command_with_nothing_but_in_and_out(runner: Any, task: Any) -> None:
    """Docker's own 64 MB of shared memory, two reader processes, the image's own user; then what
    it trained is used by a foreign user within narrow bounds, without even a writable /tmp."""
    task.ask("training", max_iter=4)
    done = runner.run(options=task.mounts)
    assert done.returncode == 0, done.stderr[-3000:]
    assert task.monitor()[2:5] == ["1.0000", "2", "0"]
    assert task.stages()
    assert task.owners() == {(10001, 0)}
    models = task.root / "in/models"
    shutil.copytree(next((task.out / "models").glob("iter_*")), models / "stage")
    files = [f"/in/models/stage/{file.name}" for file in (models / "stage").iterdir()]
    task.ask("mining", "infer", model_params_path=files)
    bounds = ("--read-only", "--cpus", "1", "--pids-limit", "64", "--memory", "2g")
    done = runner.run(options=(*task.mounts, "--user", "12345:12345", *bounds))
    assert done.returncode == 0, done.stderr[-3000:]
    assert len((task.out / "result.tsv").read_text().splitlines()) == 3
    assert (task.out / "infer-result.json").stat().st_uid == 12345


def test_shared_memory_is_not_needed(runner: Any, task: Any) -> None:
    task.ask("training", batch_size=6, image_size=256, num_workers=2)
    done = runner.run(options=(*task.mounts, "--shm-size", "1m"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert task.stages()


def test_too_little_memory_is_told_as_such(runner: Any, task: Any) -> None:
    task.ask("training", num_workers=0)
    done = runner.run(options=(*task.mounts, "--memory", "200m", "--memory-swap", "200m"))
    assert done.returncode == 6, done.stderr[-3000:]
    assert task.monitor()[3:5] == ["4", "300103"]
    assert "memory" in task.monitor()[5]


@pytest.mark.parametrize(
    ("mounts", "code", "word"),
    [
        pytest.param((), 2, "env.yaml", id="no folders at all"),
        pytest.param(("-v", "{out}:/out"), 2, "env.yaml", id="nothing in /in"),
        pytest.param(("-v", "{in}:/in:ro"), 8, "/out", id="no /out"),
        pytest.param(("-v", "{in}:/in:ro", "-v", "{out}:/out:ro"), 8, "/out", id="read-only /out"),
    ],
)
def test_missing_folders_are_named(
    runner: Any, task: Any, mounts: tuple[str, ...], code: int, word: str
) -> None:
    task.ask("training")
    places = {"in": task.root / "in", "out": task.out}
    options = [option.format(**places) for option in mounts]
    done = runner.run(options=("--read-only", "--tmpfs", "/tmp", *options))
    said = (done.stdout + done.stderr).splitlines()
    assert done.returncode == code, said
    assert word in said[-1]
    assert not any(line.startswith("Traceback") for line in said)


def test_a_full_out_ends_with_a_reason(runner: Any, task: Any) -> None:
    task.ask("training", num_workers=0)
    small = ("--mount", "type=tmpfs,destination=/out,tmpfs-size=2m,tmpfs-mode=1777")
    done = runner.run(options=(*task.mounts[:2], *small))
    assert done.returncode == 8, done.stderr[-3000:]
    assert "No space left" in (done.stdout + done.stderr).splitlines()[-1]


def test_a_second_run_into_the_same_out_is_refused(runner: Any, task: Any) -> None:
    task.ask("training", **LONG)
    first = runner.start(options=task.mounts)
    first.await_that(lambda: bool(task.monitor()))
    second = runner.run(options=task.mounts)
    assert second.returncode == 8
    assert "locked" in (second.stdout + second.stderr).splitlines()[-1]
    assert task.monitor()[3] == "2"
    assert first.stop() < 9  # in the middle of the imports, perhaps
    assert first.wait() == 143


def test_stop_saves_and_a_restart_resumes(runner: Any, task: Any) -> None:
    """SIGTERM long before the first evaluation: a checkpoint, a stage, and the right last words."""
    task.ask("training", **LONG)
    container = runner.start(options=(*task.mounts, "--user", "12345:12345", "--shm-size", "1m"))
    container.await_that(lambda: bool(task.monitor()) and float(task.monitor()[2]) > 0.022)
    assert container.stop() < 10
    assert container.wait() == 143, container.logs()[-3000:]
    assert task.monitor()[3:5] == ["4", "160004"]
    assert "stopped" in container.logs().splitlines()[-1]
    assert len(task.stages()) >= 1
    iteration = (float(task.monitor()[2]) - 0.02) / 0.98 * LONG["max_iter"]
    again = runner.start(options=(*task.mounts, "--user", "12345:12345"))
    await_training(again, task)
    assert start_iterations(again.logs())[0] >= iteration - 1 > 0
    again.kill()


def test_kills_lose_nothing_that_was_reported(runner: Any, task: Any) -> None:
    """SIGKILL, which a platform sends without warning, at random instants; then to the end."""
    rng = random.Random(4)
    settings = {"max_iter": 48, "eval_period": 8, "checkpoint_period": 4, "num_workers": 0}
    task.ask("training", **settings)
    best, furthest = 0.0, 0
    for _ in range(3):
        container = runner.start(options=task.mounts)
        await_training(container, task)
        time.sleep(rng.uniform(0.0, 1.5))
        assert container.is_running()
        container.kill()
        assert start_iterations(container.logs())[0] >= furthest - settings["checkpoint_period"]
        stages = task.stages()
        assert max(stages.values()) >= best
        assert len(task.monitor()) == 6
        best = max(stages.values())
        furthest = max(int(STAGE.fullmatch(name)[1]) for name in stages)
    container = runner.start(options=task.mounts)
    assert container.wait() == 0, container.logs()[-3000:]
    assert start_iterations(container.logs())[0] >= furthest - settings["checkpoint_period"]
    assert max(task.stages().values()) >= best
    assert task.monitor()[2:5] == ["1.0000", "2", "0"]
    leftovers = [path for path in task.out.rglob("*") if re.search(r"\.(tmp|part)", path.name)]
    assert leftovers == []


def await_training(container: Any, task: Any) -> None:
    """Until this container trains and some container has left a stage."""
    container.await_that(lambda: bool(start_iterations(container.logs())) and bool(task.stages()))
