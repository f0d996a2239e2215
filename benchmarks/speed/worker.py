"""One engine in one process: a line on standard input is one call, a line of JSON its answer.

    PYTHON benchmarks/speed/worker.py KIND PRECISION CONFIG SHORT MAX THREADS IMAGE

"run" detects once; "detections" gives those of the last call; anything else ends.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

STARTED = time.perf_counter()
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
# The folder of this file would hide packages of the same names as its modules.
sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent]

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from benchmarks.speed.engines import Task, load_engine  # noqa: E402


def main(arguments: list[str]) -> None:
    """Load, then serve until told to end."""
    kind, precision, config, short, max_size, threads, image = arguments
    # What libraries print must not mix with the answers.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        with Image.open(image) as opened:
            pixels = np.ascontiguousarray(np.asarray(opened.convert("RGB"))[:, :, ::-1])
        engine = load_engine(kind, Task(config, int(short), int(max_size), int(threads)), precision)
        _answer(answers, {"load_s": time.perf_counter() - STARTED, "rss_mb": peak_rss_mb()})
        found: dict[str, Any] = {}
        for line in sys.stdin:
            if line.strip() == "run":
                cpu, wall = time.process_time(), time.perf_counter()
                found = engine(pixels)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                _answer(answers, {"wall_s": wall, "cpu_s": cpu, "rss_mb": peak_rss_mb()})
            elif line.strip() == "detections":
                names = ("boxes", "scores", "classes")
                _answer(answers, {name: found[name].tolist() for name in names})
            else:
                return


def peak_rss_mb() -> float:
    """The most memory this process ever held."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def _answer(answers: TextIO, content: dict[str, Any]) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
