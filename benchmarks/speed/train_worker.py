"""One engine that trains, in one process: a line on standard input is one step.

PYTHON benchmarks/speed/train_worker.py KIND PRECISION CONFIG SHORT MAX THREADS BATCH IMAGE...
"""

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
# The folder of this file would hide packages of the same names as its modules.
sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent]

from benchmarks.speed.engines import Task  # noqa: E402
from benchmarks.speed.train_batch import make_batch  # noqa: E402
from benchmarks.speed.train_engines import load_trainer  # noqa: E402
from benchmarks.speed.worker import peak_rss_mb  # noqa: E402


def main(arguments: list[str]) -> None:
    """Load, then step when told to, until told to end."""
    kind, precision, config, short, max_size, threads, batch, *images = arguments
    # What libraries print must not mix with the answers.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        task = Task(config, int(short), int(max_size), int(threads))
        files = [Path(image) for image in images]
        labelled = make_batch(files, batch=int(batch), short=task.short, max_size=task.max_size)
        step = load_trainer(kind, task, precision, labelled)
        answers.write(json.dumps({"rss_mb": peak_rss_mb()}) + "\n")
        answers.flush()
        for line in sys.stdin:
            if line.strip() != "run":
                return
            cpu, wall = time.process_time(), time.perf_counter()
            losses = step()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            answer = {"wall_s": wall, "cpu_s": cpu, "rss_mb": peak_rss_mb(), "losses": losses}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
