"""The platform's side of a task: an /in folder as the platform writes it, and one executor run.

Only folders differ from production: env.yaml names the demo's own `in` and `out` instead of /in
and /out, and the environment variable DEFAULT_ENV_FILE_PATH is the path of env.yaml.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml

from demo.tiles import Tile

REPOSITORY = Path(__file__).resolve().parent.parent


def run_and_relay(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command, pass it the stop signals of this process, and return its exit status."""
    signals = (signal.SIGTERM, signal.SIGINT)
    asked: list[int] = []
    before = [signal.signal(number, lambda number, _: asked.append(number)) for number in signals]
    try:
        with subprocess.Popen(command, cwd=REPOSITORY, env=environment) as process:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(timeout=0.1)
                # Ctrl-C in a terminal reaches both anyway, and the second one means "at once".
                while signal.SIGTERM in asked:
                    asked.remove(signal.SIGTERM)
                    process.terminate()
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


@dataclass
class Task:
    """One run of the executor on a folder of its own.

    name     subfolder of the demo's output, and the platform's task id
    runs     which of training, mining, infer to do
    config   config.yaml: the user's settings, and those that the platform adds
    """

    folder: Path
    runs: Sequence[str]
    config: Mapping[str, Any]
    index: dict[str, list[str]] = field(default_factory=dict)

    @property
    def input(self) -> Path:
        """The folder that stands for /in."""
        return self.folder / "in"

    @property
    def output(self) -> Path:
        """The folder that stands for /out."""
        return self.folder / "out"

    def create(self) -> None:
        """Make an empty task, and remove the files of an earlier run."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("assets", "annotations", "models", "predictions"):
            (self.input / name).mkdir(parents=True)
        for name in ("models", "tensorboard"):
            (self.output / name).mkdir(parents=True)

    def add(self, index_name: str, tile: Tile, *, annotated: bool) -> Path:
        """Store one image (and its boxes) under its content hash and list it in an index."""
        jpeg = BytesIO()
        tile.image.save(jpeg, format="JPEG", quality=95, subsampling=0)
        sha1 = hashlib.sha1(jpeg.getvalue(), usedforsecurity=False).hexdigest()
        asset = self.input / "assets" / sha1[-2:] / f"{sha1}.jpg"
        asset.parent.mkdir(exist_ok=True)
        asset.write_bytes(jpeg.getvalue())
        line = str(asset)
        if annotated:
            annotation = self.input / "annotations" / sha1[-2:] / f"{sha1}.txt"
            annotation.parent.mkdir(exist_ok=True)
            rows = [f"0, {x0}, {y0}, {x1}, {y1}, -1.0, 0.0\n" for x0, y0, x1, y1 in tile.boxes]
            annotation.write_text("".join(rows), encoding="utf-8")
            line += f"\t{annotation}"
        self.index.setdefault(index_name, []).append(line)
        return asset

    def add_model(self, trained: "Task", stage: str) -> list[str]:
        """Store one stage of a trained model with its package's description; paths of the files."""
        result = yaml.safe_load((trained.output / "models" / "result.yaml").read_text("utf-8"))
        target = self.input / "models" / stage
        target.mkdir(parents=True)
        for name in result["model_stages"][stage]["files"]:
            source = trained.output / "models" / stage / name
            shutil.copy(source if source.is_file() else trained.output / "models" / name, target)
        info = {"executor_config": dict(trained.config), "best_stage_name": stage}
        (self.input / "models" / "ymir-info.yaml").write_text(yaml.safe_dump(info), "utf-8")
        return sorted(str(path) for path in target.iterdir())

    def write(self) -> None:
        """The index files, config.yaml and env.yaml, as the platform writes them."""
        for name, lines in self.index.items():
            text = "".join(f"{line}\n" for line in lines)
            (self.input / f"{name}-index.tsv").write_text(text, encoding="utf-8")
        config = {**self.config, "task_id": self._task_id}
        (self.input / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        (self.input / "env.yaml").write_text(yaml.safe_dump(self._env()), encoding="utf-8")

    def run(self, *, weights_dir: Path) -> None:
        """Run `docker/start.sh` on the folder as the container would; a failure ends the demo."""
        self.write()
        environment = os.environ | {
            "DEFAULT_ENV_FILE_PATH": str(self.input / "env.yaml"),
            "WEIGHTS_DIR": str(weights_dir),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        start = [str(REPOSITORY / "docker" / "start.sh")]
        status = run_and_relay(start, environment)
        if status:
            sys.exit(f"The executor ended with code {status}; its last words are above.")

    @property
    def _task_id(self) -> str:
        return f"t{'-'.join(self.runs)}"

    def _env(self) -> dict[str, Any]:
        """env.yaml of platform 2.1 to 2.5, with our folders."""

        def index(name: str) -> str:
            return str(self.input / f"{name}-index.tsv") if name in self.index else ""

        return {
            "input": {
                "root_dir": str(self.input),
                "assets_dir": str(self.input / "assets"),
                "annotations_dir": str(self.input / "annotations"),
                "models_dir": str(self.input / "models"),
                "training_index_file": index("train"),
                "val_index_file": index("val"),
                "candidate_index_file": index("candidate"),
                "config_file": str(self.input / "config.yaml"),
            },
            "output": {
                "root_dir": str(self.output),
                "models_dir": str(self.output / "models"),
                "tensorboard_dir": str(self.output / "tensorboard"),
                "training_result_file": str(self.output / "models" / "result.yaml"),
                "mining_result_file": str(self.output / "result.tsv"),
                "infer_result_file": str(self.output / "infer-result.json"),
                "monitor_file": str(self.output / "monitor.txt"),
                "executor_log_file": str(self.output / "ymir-executor-out.log"),
            },
            "manifest_file": str(REPOSITORY / "docker" / "img-man" / "manifest.yaml"),
            "protocol_version": "1.1.0",
            **{f"run_{task}": task in self.runs for task in ("training", "mining", "infer")},
            "task_id": self._task_id,
        }
