"""How long a user waits for the first record of monitor.txt and for the first detection.

    python -m benchmarks.startup --image FILE --config FILE --weights FILE [--onnx FILE]
        [--int8 FILE] [--detectron2 PYTHON --zoo CONFIG]

Each run is a separate process, as in a container, and the ways take turns: `app.start` on a folder
with one image (seconds from process start to the first record in monitor.txt and to the result
file), and a program that detects once, without the platform's files. detectron2 is such
a program, with its `DefaultPredictor`, on the same weights with the config of its own model zoo.
The table is appended to --records as a record of kind "startup".
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from app.engine.predictor.onnx_card import FILE_NAMES
from app.task_process import task_environment
from benchmarks import REPOSITORY
from benchmarks.speed import records, report
from verification.task_folder import ModelFiles, lay_out, start

POLL_S = 0.005

ONNX = """
from pathlib import Path
from app.engine.predictor import OnnxPredictor
next(OnnxPredictor(Path({exported!r})).detect_files([Path({image!r})]))
"""
TORCH = """
from pathlib import Path
from app.engine.config import load_config
from app.engine.predictor import Predictor
cfg = load_config({config!r}, ["MODEL.DEVICE", "cpu"])
next(Predictor.from_files(cfg, Path({weights!r})).detect_files([Path({image!r})]))
"""
DETECTRON2 = """
from detectron2 import model_zoo
from detectron2.data.detection_utils import read_image
from detectron2.engine import DefaultPredictor
cfg = model_zoo.get_config({zoo!r}, trained=False)
cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS = "cpu", {weights!r}
DefaultPredictor(cfg)(read_image({image!r}, cfg.INPUT.FORMAT))
"""


@dataclass(slots=True)
class Way:
    """A way to compute, and its measurements in seconds from process start.

    settings  entries of config.yaml; None for a program without a task
    """

    name: str
    python: str
    program: str
    settings: dict[str, str] | None
    exported: dict[str, Path] = field(default_factory=dict)
    first_record: list[float] = field(default_factory=list)
    result: list[float] = field(default_factory=list)
    first_detection: list[float] = field(default_factory=list)


def main(arguments: Sequence[str]) -> None:
    """Measure every way that the arguments name."""
    options = _options(arguments)
    content = measure(_ways(options), options)
    records.append(options.records, "startup", content)
    sys.stdout.write(report.described(content) + "\n")


def measure(ways: Sequence[Way], options: argparse.Namespace) -> dict[str, Any]:
    """The content of a record: medians over rounds."""
    for _ in range(options.rounds):
        for way in ways:
            if way.settings is not None:
                _task(way, options)
            way.first_detection.append(_seconds(way))
    cfg = yaml.safe_load(options.config.read_text())
    name = f"{cfg['MODEL']['META_ARCHITECTURE']} on {cfg['MODEL']['BACKBONE']['NAME']}"
    side = cfg["INPUT"]["MIN_SIZE_TEST"]
    return {
        "key": [name, side],
        "title": f"Start-up: {name}, {side} px",
        "columns": ["way", "first record, s", "result of one image, s", "first detection alone, s"],
        "rows": [
            [way.name, *(map(_median, (way.first_record, way.result, way.first_detection)))]
            for way in ways
        ],
        "notes": f"From process start, files in the page cache; {options.rounds} rounds in turns, "
        "medians. First record and result: `python -m app.start` on a folder with one image. "
        "Alone: a program that loads the model and detects once.",
    }


def _ways(options: argparse.Namespace) -> list[Way]:
    files = {name: str(getattr(options, name)) for name in ("image", "config", "weights", "zoo")}
    ways = []
    if options.detectron2:
        ways.append(Way("detectron2", options.detectron2, DETECTRON2.format(**files), None))
    settings = {"backend": "torch", "precision": "fp32"}
    ways.append(Way("torch fp32", sys.executable, TORCH.format(**files), settings))
    for precision, path in (("fp32", options.onnx), ("int8", options.int8)):
        if path:
            program = ONNX.format(exported=str(path), image=files["image"])
            settings = {"backend": "onnxruntime", "precision": precision}
            exported = {FILE_NAMES[precision]: path}
            name = f"ONNX Runtime {precision}"
            ways.append(Way(name, sys.executable, program, settings, exported))
    return ways


def _task(way: Way, options: argparse.Namespace) -> None:
    """Add the seconds to the first record and to the result of an infer task of one image."""
    assert way.settings is not None
    files = ModelFiles(weights=options.weights, config=options.config, exported=way.exported)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        lay_out(root, files, [options.image], way.settings)
        started = time.perf_counter()
        process = start(root)
        way.first_record.append(_appears(root / "out/monitor.txt", process, started))
        way.result.append(_appears(root / "out/infer-result.json", process, started))
        assert process.wait() == 0, "the infer task failed"


def _appears(path: Path, process: subprocess.Popen[bytes], started: float) -> float:
    while not path.exists():
        assert process.poll() in (None, 0), "the infer task failed"
        time.sleep(POLL_S)
    return time.perf_counter() - started


def _seconds(way: Way) -> float:
    """Seconds until a program ends: ours in a task's environment, detectron2 in the usual one."""
    environ = dict(os.environ) if way.settings is None else task_environment(os.environ)
    started = time.perf_counter()
    subprocess.run(
        [way.python, "-c", way.program],
        cwd=REPOSITORY,
        env=environ,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f}" if values else "-"


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup")
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True, help="config.yaml of the model")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--onnx", type=Path, help="the same model, exported")
    parser.add_argument("--int8", type=Path, help="the same in 8-bit integers")
    parser.add_argument("--detectron2", help="a python that can import detectron2")
    parser.add_argument("--zoo", default="COCO-Detection/retinanet_R_50_FPN_1x.yaml")
    parser.add_argument("--records", type=Path, default=records.RECORDS)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
