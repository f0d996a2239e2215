"""One engine's data path in one process: a line on standard input is one pass over the files.

    PYTHON benchmarks/speed/data_worker.py KIND SHORT MAX IMAGE...

"run" makes network inputs of all files; "save FOLDER" writes them as uint8 (H, W, 3) arrays.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
# The folder of this file would hide packages of the same names as its modules.
sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent]

import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks.speed.worker import peak_rss_mb  # noqa: E402

Reader = Callable[[Path], Any]
"""Path -> (3, H, W) tensor of BGR levels."""


def main(arguments: list[str]) -> None:
    """Load, then read when told to, until told to end."""
    kind, short, max_size, *files = arguments
    images = [Path(file) for file in files]
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        torch.set_num_threads(1)
        read = READERS[kind](int(short), int(max_size))
        for line in chain(("ready",), map(str.strip, sys.stdin)):
            cpu, wall = time.process_time(), time.perf_counter()
            if line == "run":
                for image in images:
                    read(image)
            elif line.startswith("save "):
                _save(read, images, Path(line.removeprefix("save ")))
            elif line != "ready":
                return
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            answer = {"wall_s": wall, "cpu_s": cpu, "rss_mb": peak_rss_mb()}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


def _save(read: Reader, images: list[Path], folder: Path) -> None:
    folder.mkdir()
    for number, image in enumerate(images):
        pixels = read(image).numpy().transpose(1, 2, 0)
        np.save(folder / f"{number:05}.npy", pixels.astype(np.uint8))


def _ours(short: int, max_size: int) -> Reader:
    from app.engine.data.augmentation import ShortestEdge
    from app.engine.data.image import read_image
    from app.engine.data.mapper import TestMapper

    mapper = TestMapper(ShortestEdge((short,), max_size), image_format="BGR")
    return lambda path: mapper.from_pixels(read_image(path)).image


def _detectron2(short: int, max_size: int) -> Reader:
    from detectron2.data import transforms
    from detectron2.data.detection_utils import read_image

    resize = transforms.ResizeShortestEdge([short, short], max_size)

    def read(path: Path) -> Any:
        image = read_image(str(path), format="BGR")
        pixels = resize.get_transform(image).apply_image(image)
        return torch.as_tensor(pixels.astype("float32").transpose(2, 0, 1))

    return read


READERS = {"ours": _ours, "d2": _detectron2}


if __name__ == "__main__":
    main(sys.argv[1:])
