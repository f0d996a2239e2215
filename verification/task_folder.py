"""Lay out a task as the platform does, and start `app.start` on it as the container does."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from verification import REPOSITORY


def write_settings(root: Path, task: str, settings: Mapping[str, Any], *, task_id: str) -> Path:
    """Write config.yaml and env.yaml of a run on the CPU to `root`/in; the path of env.yaml."""
    config = {"gpu_id": "", **settings}
    (root / "in/config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    env = {
        "input": {"root_dir": str(root / "in")},
        "output": {"root_dir": str(root / "out")},
        "protocol_version": "1.1.0",
        "task_id": task_id,
        f"run_{task}": True,
    }
    env_file = root / "in/env.yaml"
    env_file.write_text(yaml.safe_dump(env), encoding="utf-8")
    return env_file


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """The files of a stage of /in/models.

    exported  files exported from the same weights, by the names that infer uses (model.onnx, ...)
    """

    weights: Path
    config: Path
    exported: Mapping[str, Path] = field(default_factory=dict)


def lay_out(
    root: Path, files: ModelFiles, images: Sequence[Path], settings: Mapping[str, Any]
) -> None:
    """Write /in of an infer task below `root`; `settings` are entries of config.yaml."""
    models = root / "in/models/stage"
    models.mkdir(parents=True)
    shutil.copyfile(files.weights, models / "model.pth")
    shutil.copyfile(files.config, models / "config.yaml")
    for name, path in files.exported.items():
        shutil.copyfile(path, models / name)
    names = yaml.safe_load(files.config.read_text())["MODEL"]["CLASS_NAMES"]
    listed = [str(path) for path in models.iterdir()]
    of_model = {"class_names": names, "model_params_path": listed}
    write_settings(root, "infer", {**of_model, **settings}, task_id="benchmark")
    index = "".join(f"{image.resolve()}\n" for image in images)
    (root / "in/candidate-index.tsv").write_text(index)


def start(root: Path) -> subprocess.Popen[bytes]:
    """Start the container's process; its results go to `root`/out."""
    return subprocess.Popen(
        [sys.executable, "-m", "app.start"],
        cwd=REPOSITORY,
        env={**os.environ, "DEFAULT_ENV_FILE_PATH": str(root / "in/env.yaml")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
