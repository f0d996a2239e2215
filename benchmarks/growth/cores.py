"""python -m benchmarks.growth.cores [--images 2000] [--records FILE]: does the model ever wait?

Photographs go from /in to /out through the real executor with the light demo model, and the same
network inputs, ready in memory, through the model alone. One JSON line tells images/s of both.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import torch

from app.engine.data.image import read_image
from app.engine.modeling.build import build_detector
from app.engine.predictor.predictor import Predictor
from app.task_process import task_environment
from benchmarks.growth.inputs import light_config, make_inputs
from benchmarks.growth.watch import watch
from benchmarks.json_lines import append

SIZE = (480, 640)
BATCH_SIZE = 4
NUM_ALONE = 64


def main(arguments: list[str]) -> int:
    """Measure both; the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.growth.cores")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=15.0, help="of the model alone")
    parser.add_argument("--records", type=Path)
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.alone is not None:
        sys.stdout.write(f"{_alone(options.alone, options.seconds)}\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        few, many = options.images // 10, options.images
        times = {number: _whole_run(Path(folder) / str(number), number) for number in (few, many)}
        inputs = Path(folder) / str(many) / "in"
        command = [sys.executable, "-m", "benchmarks.growth.cores", "--alone", str(inputs)]
        alone = subprocess.run(
            [*command, "--seconds", str(options.seconds)],
            env=task_environment(os.environ),
            check=True,
            capture_output=True,
            text=True,
        )
    record = {
        "images": many,
        "whole": round((many - few) / (times[many] - times[few]), 2),
        "alone": round(float(alone.stdout), 2),
        "threads": torch.get_num_threads(),
        "policy": os.environ.get("OMP_WAIT_POLICY", ""),
        "torch": torch.__version__,
    }
    record["share"] = round(record["whole"] / record["alone"], 3)
    sys.stdout.write(json.dumps(record) + "\n")
    if options.records is not None:
        append(options.records, record)
    return 0


def _whole_run(folder: Path, number: int) -> float:
    """Seconds from the start of the executor to its end."""
    settings = {"batch_size": BATCH_SIZE, "num_workers": 2}
    env_file = make_inputs(
        folder, task="infer", num_lines=number, settings=settings, cfg=light_config(), size=SIZE
    )
    found = watch(env_file)
    assert found.status == 0, found.log
    return found.seconds


def _alone(inputs: Path, seconds: float) -> float:
    """Images/s of the model on inputs that lie in memory."""
    cfg = light_config()
    model = build_detector(cfg)
    predictor = Predictor(model, cfg, batch_size=BATCH_SIZE, boxes_only=True)
    paths = islice((inputs / "assets").glob("picture_*.jpg"), NUM_ALONE)
    samples = [predictor._sample(read_image(path)) for path in paths]
    predictor.detect_samples(samples[: 2 * BATCH_SIZE])
    started, done = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        predictor.detect_samples(samples)
        done += len(samples)
    return done / (time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
