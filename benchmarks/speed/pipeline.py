"""A whole infer task beside the model alone: the cost of reading, decoding and writing.

The task is `app.start` on /in and /out, from process start to exit, loading included. The model
alone is its predictor, with its settings and in its environment, on images that are already decoded
and resized: from pixels in memory to final boxes, measured half before the task and half after.
"""

import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from app.engine.predictor.onnx_card import FILE_NAMES
from app.task_process import task_environment
from benchmarks import REPOSITORY
from benchmarks.speed.report import described
from benchmarks.speed.verb import Options, Parser
from verification.task_folder import ModelFiles, lay_out, start

ALONE_IMAGES = 256
"""Run through before and after the task: enough for a steady rate."""


KIND = "pipeline"


def add_options(parser: Parser) -> None:
    """Options for the trained model, the images and their number, the backend and the precision."""
    parser.add_argument("--model", type=Path, required=True, help="folder of a trained model")
    parser.add_argument("--images", type=Path, required=True, help="folder of JPEGs")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--backend", choices=["torch", "onnxruntime"], default="torch")
    parser.add_argument("--precision", default="fp32")


def contents(options: Options) -> Iterator[dict[str, Any]]:
    """One record."""
    yield measure(
        model_files(options.model),
        options.images,
        count=options.count,
        backend=options.backend,
        precision=options.precision,
    )


describe = described


def measure(
    files: ModelFiles, images: Path, *, count: int, backend: str, precision: str
) -> dict[str, Any]:
    """The content of a `pipeline` record, for `count` copies of the photographs in a folder."""
    photographs = sorted(images.glob("*.jpg"))
    alone = [_alone(files, photographs, backend, precision)]
    whole = count / _task(files, photographs, count, backend, precision)
    alone.append(_alone(files, photographs, backend, precision))
    rate = statistics.mean(alone)
    cfg = yaml.safe_load(files.config.read_text())
    name = f"{cfg['MODEL']['META_ARCHITECTURE']} on {cfg['MODEL']['BACKBONE']['NAME']}"
    return {
        "key": [name, backend, precision],
        "title": f"A whole infer task: {name}, {cfg['INPUT']['MIN_SIZE_TEST']} px, {backend}, "
        f"{precision}",
        "columns": ["photographs", "model alone, images/s", "whole task, images/s", "share"],
        "rows": [[f"{count:,}", f"{rate:.1f}", f"{whole:.1f}", f"**{whole / rate:.2f}**"]],
        "notes": "Workload: `python -m app.start` from process start to exit, JPEGs of "
        f"{_size(photographs[0])} in, infer-result.json out. Model alone: its predictor with its "
        "settings on decoded and resized images, to final boxes; before and after the task "
        f"{alone[0]:.1f} and {alone[1]:.1f} images/s.",
    }


def model_files(folder: Path) -> ModelFiles:
    """The model files of a training's stage."""
    exported = {name: folder / name for name in FILE_NAMES.values() if (folder / name).is_file()}
    return ModelFiles(
        weights=folder / "model.pth", config=folder / "config.yaml", exported=exported
    )


def _task(
    files: ModelFiles, photographs: Sequence[Path], count: int, backend: str, precision: str
) -> float:
    """Seconds of the task, from process start to exit."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        copies = []
        for number, path in enumerate(itertools.islice(itertools.cycle(photographs), count)):
            copies.append(root / f"{number:06d}.jpg")
            shutil.copyfile(path, copies[-1])
        lay_out(root, files, copies, {"backend": backend, "precision": precision})
        started = time.perf_counter()
        assert start(root).wait() == 0, "the infer task failed"
        seconds = time.perf_counter() - started
        result = json.loads((root / "out/infer-result.json").read_text())
        assert len(result["detection"]) == count, "the infer task left out images"
    return seconds


def _alone(files: ModelFiles, photographs: Sequence[Path], backend: str, precision: str) -> float:
    """Images per second of the model alone, in its own process."""
    exported = files.exported.get(FILE_NAMES.get(precision, ""), "")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.pipeline_worker", backend, precision]
        + [str(files.config), str(files.weights), str(exported), str(ALONE_IMAGES)]
        + [str(path) for path in photographs],
        cwd=REPOSITORY,
        env=task_environment({}),
        check=True,
        stdout=subprocess.PIPE,
    )
    return float(done.stdout)


def _size(path: Path) -> str:
    from PIL import Image

    with Image.open(path) as image:
        return f"{image.width}x{image.height}"
