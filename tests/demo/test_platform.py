"""The demo's folders are what the executor's own readers expect of the platform."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from demo.platform import Task, run_and_relay
from demo.tiles import TILE, Tile
from executor.dataset_reader import read_training_index
from executor.env import load_env


def test_a_training_folder_is_read_back_by_the_executor(tmp_path: Path) -> None:
    task = Task(tmp_path / "task", ["training"], {"class_names": ["tree"]})
    task.create()
    image = Image.new("RGB", (TILE, TILE), (1, 2, 3))
    task.add("train", Tile("with", image, [(1, 2, 30, 40)]), annotated=True)
    task.add("train", Tile("without", Image.new("RGB", (TILE, TILE)), []), annotated=True)
    task.write()
    env = load_env(task.input / "env.yaml")
    assert env.output.models_dir == task.output / "models"
    assets = read_training_index(env.input.training_index_file)
    contents = [Path(asset.annotation_text or "").read_text() for asset in assets]
    assert contents == ["0, 1, 2, 30, 40, -1.0, 0.0\n", ""]
    images = [Path(asset.image_text) for asset in assets]
    assert all(image.parent.name == image.stem[-2:] for image in images)


def test_creating_a_task_removes_what_an_earlier_run_left(tmp_path: Path) -> None:
    task = Task(tmp_path / "task", ["infer"], {})
    task.create()
    (task.output / "infer-result.json").write_text("{}")
    task.create()
    assert {path.name for path in task.output.iterdir()} == {"models", "tensorboard"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_executor_is_stopped_with_the_demo(number: signal.Signals, tmp_path: Path) -> None:
    ready = tmp_path / "ready"

    def stop() -> None:
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)
        if number == signal.SIGINT:  # a terminal sends it to the executor, too
            os.kill(int(ready.read_text()), number)

    thread = threading.Thread(target=stop)
    thread.start()
    script = f"""
        trap 'exit 143' TERM INT
        echo $$ > {ready}.part; mv {ready}.part {ready}
        for i in $(seq 500); do sleep 0.02; done
    """
    # A shell that starts something in the background has it ignore SIGINT, and so would bash.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.getsignal(number)
    assert run_and_relay(["bash", "-c", script], os.environ) == 143
    thread.join()
    assert signal.getsignal(number) is before
