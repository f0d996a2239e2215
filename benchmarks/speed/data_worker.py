"""One engine's data path in one process.

    PYTHON -m benchmarks.speed.data_worker KIND SHORT MAX IMAGE...

"run" makes network inputs of all files; "save FOLDER" writes them as uint8 (H, W, 3) arrays; any
other line ends the process.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.speed.serving import Answers, serve, timed

Reader = Callable[[Path], Any]
"""Path -> (3, H, W) tensor of BGR levels."""


def load(arguments: list[str]) -> Answers:
    """Load a reader and its files."""
    kind, short, max_size, *files = arguments
    images = [Path(file) for file in files]
    torch.set_num_threads(1)
    read = READERS[kind](int(short), int(max_size))

    def read_all() -> None:
        for image in images:
            read(image)

    def answer(question: str) -> dict[str, Any] | None:
        if question == "run":
            return timed(read_all)[1]
        if question.startswith("save "):
            _save(read, images, Path(question.removeprefix("save ")))
            return {}
        return None

    return answer


def _save(read: Reader, images: list[Path], folder: Path) -> None:
    folder.mkdir()
    for number, image in enumerate(images):
        pixels = read(image).numpy().transpose(1, 2, 0)
        np.save(folder / f"{number:05}.npy", pixels.astype(np.uint8))


def _ours(short: int, max_size: int) -> Reader:
    from app.engine.data.loading.image_reader import ImageReader
    from app.engine.data.loading.mapper import image_tensor
    from app.engine.structures.size import Resizing

    reader = ImageReader("BGR", Resizing(short, max_size))
    return lambda path: image_tensor(reader(path).pixels)


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
    serve(lambda: load(sys.argv[1:]))
