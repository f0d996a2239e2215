"""Detect objects in photographs with an exported file alone: NumPy, Pillow and ONNX Runtime.

    python detect.py model.onnx PHOTOGRAPH... [--threshold 0.3] [--threads 1]

This program is meant to be copied; it imports nothing of the product, and its license is the
product's. It makes the network's input exactly as the product does, from upright pixels of 8 bits,
resized by Pillow. It does not cut photographs into tiles (`tile_size` in the file's metadata).
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def open_model(path: str, threads: int = 1) -> tuple[Any, dict[str, Any]]:
    """Return the session of a file and its metadata."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    texts = session.get_modelmeta().custom_metadata_map
    about = {key: json.loads(text) for key, text in texts.items() if key != "usage"}
    return session, about


def read(path: str, about: dict[str, Any]) -> Image.Image:
    """Return the picture as shown, with 8 bits for each value, of mode RGB or L."""
    with Image.open(path) as file:
        file.load()
        image = eight_bits(ImageOps.exif_transpose(file), about)
        return image.convert("L" if about["image_format"] == "L" else "RGB")


def eight_bits(image: Image.Image, about: dict[str, Any]) -> Image.Image:
    """Convert grey images with more than 8 bits; Pillow reads 16-bit colours as their upper 8."""
    if image.mode.startswith("I"):
        bits = about["bits_per_sample"] or 16
        values = np.clip(np.asarray(image).astype(np.int64), 0, 2**bits - 1) >> (bits - 8)
    elif image.mode == "F":
        floats = np.nan_to_num(np.asarray(image), nan=0.0)
        white = about["float_white"] or (1.0 if floats.max() <= 1.0 else 255.0)
        values = np.rint(np.clip(floats, 0, white) * (255.0 / white))
    else:
        return image
    return Image.fromarray(values.astype(np.uint8))


def network_size(width: int, height: int, about: dict[str, Any]) -> tuple[int, int]:
    """Return the width and height to which an image is resized, each at least one pixel."""
    if about.get("fixed_size"):
        return about["fixed_size"][1], about["fixed_size"][0]
    if not about["min_size"]:
        return width, height
    scale = about["min_size"] / min(width, height)
    sides = [about["min_size"] if s == min(width, height) else scale * s for s in (width, height)]
    if max(sides) > about["max_size"]:
        shrink = about["max_size"] / max(sides)
        sides = [side * shrink for side in sides]
    return max(int(sides[0] + 0.5), 1), max(int(sides[1] + 0.5), 1)


def network_input(picture: Image.Image, about: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Return the pixels for the network before padding: (height, width, channels) uint8."""
    size = network_size(*picture.size, about)
    pixels = np.asarray(picture.resize(size, Image.Resampling.BILINEAR))
    if about["image_format"] == "L":
        return pixels[:, :, None]
    return pixels[:, :, ::-1] if about["image_format"] == "BGR" else pixels


def detect(
    session: Any, about: dict[str, Any], picture: Image.Image, threshold: float
) -> Iterator[tuple[str, float, list[float]]]:
    """Yield class name, score and box (x0, y0, x1, y1 in pixels of the picture), the best first."""
    pixels = network_input(picture, about)
    height, width = pixels.shape[:2]
    step = about["size_divisibility"]
    inputs = {
        "images": np.pad(pixels, ((0, -height % step), (0, -width % step), (0, 0)))[None],
        "sizes": np.array([[height, width]]),
        "original_sizes": np.array([[picture.height, picture.width]]),
        "score_threshold": np.array(threshold, np.float32),
    }
    boxes, scores, classes = session.run(["boxes", "scores", "classes"], inputs)
    for box, score, number in zip(boxes[0], scores[0], classes[0], strict=True):
        if score > 0:  # a score of 0 marks an empty row
            yield about["class_names"][number], float(score), box.tolist()


def main() -> None:
    """Print a line for each object: file, class, score, box."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("photographs", nargs="+")
    parser.add_argument("--threshold", type=float, default=0.3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    session, about = open_model(options.model, options.threads)
    for path in options.photographs:
        picture = read(path, about)
        for name, score, box in detect(session, about, picture, options.threshold):
            corners = " ".join(f"{value:.1f}" for value in box)
            print(f"{path}\t{name}\t{score:.3f}\t{corners}")


if __name__ == "__main__":
    main()
