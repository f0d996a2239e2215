"""Image files end to end: what detectron2 finds in a file, and what this engine finds in it.

The recording holds the files themselves, so that no encoder is involved. detectron2 reads them by
its `read_image`, resizes by its `ResizeShortestEdge` and detects, as its `DefaultPredictor` does.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from app.engine.config import load_config
from app.engine.errors import ImageError
from app.engine.modeling.build import build_detector
from app.engine.predictor import Predictor
from verification import REPOSITORY
from verification.parity.check import CONFIGS, arrays
from verification.parity.compare import Comparison, compare_detections
from verification.parity.golden import Array
from verification.parity.scenes import image
from verification.parity.variants import VARIANTS
from verification.parity.weights import fill

RECORDING = REPOSITORY / "tests/parity/files/retinanet.npz"
RECIPE = VARIANTS["retinanet"]
SHORT, LONG = 160, 266
"""Short side of resized images, and the limit of the long one."""


def made_up() -> dict[str, bytes]:
    """Return files by their names."""
    scene = Image.fromarray(np.ascontiguousarray(image(240, 320, seed=7)[:, :, ::-1]))
    narrow = Image.fromarray(np.ascontiguousarray(image(20, 400, seed=8)[:, :, ::-1]))
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "colours.jpg": _saved(scene, "JPEG"),
        "turned.jpg": _saved(scene, "JPEG", exif=exif),
        "grey.jpg": _saved(scene.convert("L"), "JPEG"),
        "palette.png": _saved(scene.quantize(64), "PNG"),
        "cmyk.jpg": _saved(scene.convert("CMYK"), "JPEG"),
        "20-1.png": _saved(narrow, "PNG"),
    }


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def save(path: Path, files: dict[str, bytes], found: dict[str, dict[str, Array]]) -> None:
    """Write a recording."""
    contents = {f"{name}/file": np.frombuffer(data, np.uint8) for name, data in files.items()}
    answers = {
        f"{name}/{key}": value for name, values in found.items() for key, value in values.items()
    }
    np.savez_compressed(path, allow_pickle=False, **contents, **answers)


def check_files() -> Iterator[Comparison]:
    """Compare what `Predictor` finds in each recorded file with detectron2's answer."""
    with np.load(RECORDING) as recording:
        kept = dict(recording)
    names = [key.removesuffix("/file") for key in kept if key.endswith("/file")]
    sizes = ["INPUT.MIN_SIZE_TEST", str(SHORT), "INPUT.MAX_SIZE_TEST", str(LONG)]
    opts = [str(value) for value in (*RECIPE.opts, "MODEL.DEVICE", "cpu", *sizes)]
    cfg = load_config(CONFIGS / RECIPE.config, opts)
    model = build_detector(cfg).eval()
    fill(model, overrides=RECIPE.overrides)
    predictor = Predictor(model, cfg)
    with TemporaryDirectory(prefix="parity-") as folder:
        paths = [Path(folder) / name for name in names]
        for path in paths:
            path.write_bytes(kept[f"{path.name}/file"].tobytes())
        for path, found in predictor.detect_files(paths):
            assert not isinstance(found, ImageError), found
            keys = ("boxes", "scores", "classes")
            expected = {key: kept[f"{path.name}/{key}"] for key in keys}
            yield compare_detections(path.name, expected, arrays(found))
