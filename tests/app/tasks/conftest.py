"""An /in tree as the platform writes it, with images whose objects are plain coloured boxes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from app.engine.modeling.build import build_detector
from app.engine.training.saved_model import save_model
from app.tasks.args_options import EngineOptions
from app.tasks.engine_config import training_config
from executor.env import Env, load_env
from executor.hyperparameters import TrainHyperparameters

COLOURS = {"red box": (200, 30, 30), "blue box": (30, 30, 200)}
LIGHT = "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml"


@dataclass(frozen=True)
class Tree:
    """A run's folders."""

    root: Path

    @property
    def env_file(self) -> Path:
        return self.root / "in/env.yaml"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def env(self) -> Env:
        return load_env(self.env_file)

    def write_env(self, **settings: Any) -> None:
        content = {
            "input": {"root_dir": str(self.root / "in")},
            "output": {"root_dir": str(self.out)},
            "protocol_version": "1.1.0",
            "task_id": "t000000100000123456789",
            **settings,
        }
        self.env_file.write_text(yaml.safe_dump(content))

    def write_config(self, **settings: Any) -> None:
        content = {"class_names": list(COLOURS), "gpu_id": "", "num_workers": 0, **settings}
        (self.root / "in/config.yaml").write_text(yaml.safe_dump(content))

    def write_index(self, name: str, lines: list[str]) -> None:
        (self.root / "in" / name).write_text("".join(f"{line}\n" for line in lines))


def paint(path: Path, seed: int, num_boxes: int) -> list[tuple[int, int, int, int, int]]:
    """A grey image with boxes; (class, x0, y0, x1, y1), inclusive pixels, of each."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(90, 130, (64, 96, 3), dtype=np.uint8)
    boxes = []
    for _ in range(num_boxes):
        x, y = (int(v) for v in rng.integers(0, (64, 32)))
        w, h = (int(v) for v in rng.integers(16, 30, 2))
        class_id = int(rng.integers(len(COLOURS)))
        pixels[y : y + h, x : x + w] = list(COLOURS.values())[class_id]
        boxes.append((class_id, x, y, x + w - 1, y + h - 1))
    Image.fromarray(pixels).save(path)
    return boxes


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Folders with eight annotated images (two of them empty) and three candidates."""
    made = Tree(tmp_path)
    for folder in ("assets", "annotations", "models"):
        (tmp_path / "in" / folder).mkdir(parents=True)
    (tmp_path / "out/models").mkdir(parents=True)  # the supervisor makes them
    (tmp_path / "out/tensorboard").mkdir()
    lines = []
    for number in range(8):
        image = tmp_path / f"in/assets/{number}.png"
        boxes = paint(image, number, 0 if number in (3, 6) else 2)
        annotation = tmp_path / f"in/annotations/{number}.txt"
        annotation.write_text("".join(f"{', '.join(map(str, box))}, -1.0, 0.0\n" for box in boxes))
        lines.append(f"{image}\t{annotation}")
    made.write_index("train-index.tsv", lines[:6])
    made.write_index("val-index.tsv", lines[6:])
    candidates = [tmp_path / f"in/assets/cand img_{number}.png" for number in range(3)]
    for number, image in enumerate(candidates):
        paint(image, 100 + number, number)
    made.write_index("candidate-index.tsv", [str(image) for image in candidates])
    return made


@pytest.fixture
def train_settings() -> dict[str, Any]:
    """The quickest training there is: two iterations of the light model from scratch."""
    return {
        "config_file": LIGHT,
        "max_iter": 2,
        "learning_rate": 0.001,
        "image_size": 64,
        "args_options": "MODEL.WEIGHTS ''",
    }


@pytest.fixture
def with_model(tree: Tree, train_settings: dict[str, Any]) -> Tree:
    """The tree with an untrained model in /in/models, laid out as a platform does."""
    torch.manual_seed(0)
    hp = TrainHyperparameters(class_names=tuple(COLOURS), **train_settings)
    cfg = training_config(hp, EngineOptions(), device="cpu", num_images=6)
    save_model(
        build_detector(cfg),
        cfg,
        list(COLOURS),
        name="stage_a",
        directory=tree.root / "in/models",
        iteration=1,
        metrics={},
    )
    return tree
