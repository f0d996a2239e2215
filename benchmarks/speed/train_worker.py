"""One engine that trains, in one process: "run" does one step, any other line ends it.

PYTHON -m benchmarks.speed.train_worker KIND PRECISION CONFIG SHORT MAX THREADS BATCH IMAGE...
"""

import sys
from pathlib import Path
from typing import Any

from benchmarks.speed.engines import Workload
from benchmarks.speed.serving import Answers, serve, timed
from benchmarks.speed.train_batch import make_batch
from benchmarks.speed.train_engines import load_trainer


def load(arguments: list[str]) -> Answers:
    """Load an engine and its batch."""
    kind, precision, config, short, max_size, threads, batch, *images = arguments
    workload = Workload(config, int(short), int(max_size), int(threads))
    files = [Path(image) for image in images]
    labelled = make_batch(files, batch=int(batch), short=workload.short, max_size=workload.max_size)
    step = load_trainer(kind, workload, precision, labelled)

    def answer(question: str) -> dict[str, Any] | None:
        if question != "run":
            return None
        losses, figures = timed(step)
        return {**figures, "losses": losses}

    return answer


if __name__ == "__main__":
    serve(lambda: load(sys.argv[1:]))
