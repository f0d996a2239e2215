"""An /in tree as the platform writes it, with images whose objects are plain coloured boxes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from executor.env import Env, load_env
from verification.reliability.trees import COLOURS, LIGHT, annotate, paint, save_untrained


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
        annotate(annotation, boxes)
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
def with_model(tree: Tree) -> Tree:
    """The tree with an untrained model in /in/models, laid out as a platform does."""
    save_untrained(tree.root / "in/models")
    return tree
