"""The demo's folders are what the executor's own readers expect of the platform."""

from pathlib import Path

from PIL import Image

from demo.platform import Task
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
