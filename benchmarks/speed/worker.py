"""One engine in one process.

    PYTHON -m benchmarks.speed.worker KIND PRECISION CONFIG SHORT MAX THREADS IMAGE

"run" detects once; "detections" returns those of the last call; any other line ends the process.
"""

import sys
from pathlib import Path
from typing import Any

from benchmarks.speed.engines import Workload, load_engine, read_pixels
from benchmarks.speed.serving import Answers, serve, timed


def load(arguments: list[str]) -> Answers:
    """Load an engine and its image."""
    kind, precision, config, short, max_size, threads, image = arguments
    pixels = read_pixels(Path(image))
    engine = load_engine(kind, Workload(config, int(short), int(max_size), int(threads)), precision)
    found: dict[str, Any] = {}

    def answer(question: str) -> dict[str, Any] | None:
        nonlocal found
        if question == "run":
            found, figures = timed(lambda: engine(pixels))
            return figures
        if question == "detections":
            return {name: found[name].tolist() for name in ("boxes", "scores", "classes")}
        return None

    return answer


if __name__ == "__main__":
    serve(lambda: load(sys.argv[1:]))
