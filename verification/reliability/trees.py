"""Make small /in trees as a platform writes them, and run the product on them."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from app.engine.checkpoint.saved_model import save_model
from app.engine.modeling.build import build_detector
from app.task_process import descendants
from app.tasks.args_options import EngineOptions
from app.tasks.engine_config import training_config
from executor.hyperparameters import TrainHyperparameters
from verification import REPOSITORY
from verification.task_folder import write_settings

HOOKS = Path(__file__).with_name("hooks")
TASK_ID = "t0000000000000000000reliability"
COLOURS = {"red box": (200, 30, 30), "blue box": (30, 30, 200)}

Box = tuple[int, int, int, int, int]
"""Class, and x0 y0 x1 y1: pixels, the last ones included."""

CHECKPOINT_PERIOD = 5
"""Iterations between two checkpoints."""

LIGHT = "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml"
_SETTINGS: dict[str, dict[str, Any]] = {
    "training": {
        "config_file": LIGHT,
        "learning_rate": 0.001,
        "image_size": 64,
        "checkpoint_period": CHECKPOINT_PERIOD,
        "export_format": "ark:raw",
        "args_options": "MODEL.WEIGHTS ''",
    },
    "mining": {"mining_algorithm": "entropy", "image_size": 64},
    "infer": {"conf_threshold": 0.0, "image_size": 64},
}


@dataclass(frozen=True)
class Tree:
    """Folders of one run: `in` as the platform writes it, `out` as runs leave it."""

    root: Path
    task: str

    @property
    def out(self) -> Path:
        """The folder for /out."""
        return self.root / "out"

    @property
    def env_file(self) -> Path:
        """The platform's env.yaml."""
        return self.root / "in/env.yaml"

    @property
    def candidates(self) -> list[str]:
        """Lines of the candidate index."""
        return (self.root / "in/candidate-index.tsv").read_text().splitlines()

    @property
    def log(self) -> str:
        """The log of the latest run."""
        path = self.root / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def steps(self) -> list[int]:
        """Every finished iteration, in the order of the runs on this tree."""
        path = self.root / "steps"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def forget_output(self) -> None:
        """Empty /out, as at the start of a task."""
        shutil.rmtree(self.out, ignore_errors=True)
        (self.root / "steps").unlink(missing_ok=True)
        self.out.mkdir()


def make_tree(
    root: Path,
    task: str,
    *,
    num_candidates: int = 200,
    max_iter: int = 80,
    eval_period: int = 20,
    num_workers: int = 1,
) -> Tree:
    """An /in tree for `task`: ten labelled images of 64 x 96 pixels, candidates, a small model."""
    for folder in ("assets", "annotations", "models"):
        (root / "in" / folder).mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(10):
        image = root / f"in/assets/{number}.png"
        annotation = root / f"in/annotations/{number}.txt"
        annotate(annotation, paint(image, number))
        lines.append(f"{image}\t{annotation}\n")
    (root / "in/train-index.tsv").write_text("".join(lines[:6]))
    (root / "in/val-index.tsv").write_text("".join(lines[6:]))
    settings = {"class_names": list(COLOURS), **_SETTINGS[task], "num_workers": num_workers}
    if task == "training":
        settings |= {"max_iter": max_iter, "eval_period": eval_period}
    else:
        settings["model_params_path"] = [str(path) for path in save_untrained(root / "in/models")]
    candidates = [root / f"in/assets/candidate {number}.png" for number in range(num_candidates)]
    for number, path in enumerate(candidates):
        path.unlink(missing_ok=True)
        os.link(root / f"in/assets/{number % 10}.png", path)
    (root / "in/candidate-index.tsv").write_text("".join(f"{path}\n" for path in candidates))
    write_settings(root, task, settings, task_id=TASK_ID)
    tree = Tree(root, task)
    tree.forget_output()
    return tree


def paint(path: Path, seed: int, num_boxes: int = 2) -> list[Box]:
    """A grey image of 64 x 96 pixels with coloured boxes."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(90, 130, (64, 96, 3), dtype=np.uint8)
    boxes = []
    for _ in range(num_boxes):
        x, y = (int(value) for value in rng.integers(0, (64, 32)))
        w, h = (int(value) for value in rng.integers(16, 30, 2))
        index = int(rng.integers(len(COLOURS)))
        pixels[y : y + h, x : x + w] = list(COLOURS.values())[index]
        boxes.append((index, x, y, x + w - 1, y + h - 1))
    Image.fromarray(pixels).save(path)
    return boxes


def annotate(path: Path, boxes: Sequence[Box]) -> None:
    """Write the boxes in the platform's ark format."""
    path.write_text("".join(f"{', '.join(map(str, box))}, -1.0, 0.0\n" for box in boxes))


def save_untrained(directory: Path) -> list[Path]:
    """Save the light model with random weights and its config, laid out as a platform does."""
    torch.manual_seed(0)
    hp = TrainHyperparameters(
        class_names=tuple(COLOURS),
        config_file=LIGHT,
        max_iter=2,
        image_size=64,
        args_options="MODEL.WEIGHTS ''",
    )
    cfg = training_config(hp, EngineOptions(), device="cpu", num_images=6)
    saved = save_model(
        build_detector(cfg),
        cfg,
        list(COLOURS),
        name="stage_a",
        directory=directory,
        iteration=1,
        metrics={},
    )
    return [saved.weights, saved.config]


class RealRun:
    """`python -m app.start` on a tree, as the container starts it."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.started = time.monotonic()
        with (tree.root / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.start"],
                cwd=REPOSITORY,
                env={
                    **os.environ,
                    "DEFAULT_ENV_FILE_PATH": str(tree.env_file),
                    "RELIABILITY_STEPS": str(tree.root / "steps"),
                    "PYTHONPATH": str(HOOKS),
                    "OMP_NUM_THREADS": "1",
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def await_log(self, *words: str, timeout_s: float = 600.0) -> bool:
        """Wait until the log holds one of `words`; False if the run ends before that."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if any(word in self.tree.log for word in words):
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.02)
        raise TimeoutError(f"{words} never came:\n{self.tree.log}")

    def await_end(self, seconds: float) -> bool:
        """Wait for the end of the run; whether it comes within so many seconds."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def everybody(self) -> list[int]:
        """Process ids of the supervisor and of all that it started."""
        return [self.process.pid, *descendants(self.process.pid)]
