"""How long a user waits for the first sign of life and for the first detection.

    python -m benchmarks.startup --image FILE --config FILE --weights FILE [--onnx FILE] ...

Each run is a process of its own, as a container's is: `app.start` on a folder with one image, and
the detector alone. Printed, and appended to --out, is one JSON line for each way to compute, of
kind "startup": median seconds from process start to the first record in monitor.txt, to the result
file, and (`first_detection`) to detections of the image without the platform's files around them.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
POLL_S = 0.005

ONNX = """
from pathlib import Path
from app.engine.predictor import OnnxPredictor
next(OnnxPredictor(Path({onnx!r})).detect_files([Path({image!r})]))
"""
TORCH = """
from pathlib import Path
from app.engine.config import load_config
from app.engine.predictor import Predictor
cfg = load_config({config!r}, ["MODEL.DEVICE", "cpu"])
next(Predictor.from_files(cfg, Path({weights!r})).detect_files([Path({image!r})]))
"""


def main(arguments: Sequence[str]) -> None:
    """Measure every way that was asked for."""
    options = _options(arguments)
    for backend in ["torch", *(["onnxruntime"] if options.onnx else [])]:
        record = measure(backend, options)
        print(json.dumps(record))
        if options.out:
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")


def measure(backend: str, options: argparse.Namespace) -> dict[str, Any]:
    """One record: medians over the rounds."""
    rounds = [_task(backend, options) for _ in range(options.rounds)]
    program = (ONNX if backend == "onnxruntime" else TORCH).format(
        image=str(options.image),
        onnx=str(options.onnx),
        config=str(options.config),
        weights=str(options.weights),
    )
    alone = [_seconds([sys.executable, "-c", program]) for _ in range(options.rounds)]
    return {
        "kind": "startup",
        "backend": backend,
        "config": options.config.name,
        "first_record": round(statistics.median(first for first, _ in rounds), 3),
        "result": round(statistics.median(result for _, result in rounds), 3),
        "first_detection": round(statistics.median(alone), 3),
        "rounds": options.rounds,
        "load": round(os.getloadavg()[0], 1),
    }


def _task(backend: str, options: argparse.Namespace) -> tuple[float, float]:
    """Seconds until the first record and until the result of an infer task of one image."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        _lay_out(root, backend, options)
        environ = {**os.environ, "DEFAULT_ENV_FILE_PATH": str(root / "in/env.yaml")}
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "app.start"],
            cwd=REPOSITORY,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        first = _appears(root / "out/monitor.txt", process, start)
        result = _appears(root / "out/infer-result.json", process, start)
        assert process.wait() == 0, "the infer task failed"
        return first, result


def _lay_out(root: Path, backend: str, options: argparse.Namespace) -> None:
    """/in as the platform writes it."""
    models = root / "in/models/stage"
    models.mkdir(parents=True)
    shutil.copyfile(options.weights, models / "model.pth")
    shutil.copyfile(options.config, models / "config.yaml")
    if backend == "onnxruntime":
        shutil.copyfile(options.onnx, models / "model.onnx")
    env = {
        "input": {"root_dir": str(root / "in")},
        "output": {"root_dir": str(root / "out")},
        "protocol_version": "1.1.0",
        "task_id": "startup",
        "run_infer": True,
    }
    names = yaml.safe_load(options.config.read_text())["MODEL"]["CLASS_NAMES"]
    files = [str(path) for path in models.iterdir()]
    config = {"class_names": names, "gpu_id": "", "backend": backend, "model_params_path": files}
    (root / "in/env.yaml").write_text(yaml.safe_dump(env))
    (root / "in/config.yaml").write_text(yaml.safe_dump(config))
    (root / "in/candidate-index.tsv").write_text(f"{options.image.resolve()}\n")


def _appears(path: Path, process: subprocess.Popen[bytes], start: float) -> float:
    while not path.exists():
        assert process.poll() in (None, 0), "the infer task failed"
        time.sleep(POLL_S)
    return time.perf_counter() - start


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=REPOSITORY, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup")
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True, help="config.yaml of the model")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--onnx", type=Path, help="the same model, exported")
    parser.add_argument("--out", type=Path, help="JSON lines to append to")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
