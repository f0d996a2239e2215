"""The ONNX metadata of an exported file, which are all that is needed to use it.

This module imports neither torch nor ONNX. Values are text, as the file format requires.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from app.engine.errors import CheckpointError

FILE_NAMES = {"fp32": "model.onnx", "int8": "model.int8.onnx"}
"""Precision -> file name of the exported model."""

FORMAT = 1
"""Version of the inputs, the outputs and the card."""

_ADDED = (
    "bits_per_sample",
    "float_white",
    "tile_size",
    "tile_overlap",
    "tile_whole_image",
    "fixed_size",
    "nms_thresh",
    "max_detections",
    "speed",
)
"""Fields that files of earlier releases lack; the defaults describe how they were used."""

USAGE = (
    "images: (N, H, W, C) uint8 in the channel order image_format, of the picture as shown: turned "
    "as its EXIF orientation says, without transparency, palettes and CMYK converted to RGB, for L "
    "to grey. Where a file has more than 8 bits, integers are clipped to bits_per_sample bits (0: "
    "16) and keep the upper 8 of these, floats are clipped to 0..float_white (0: to 1 if none is "
    "larger, else 255) and scaled to 0..255. Pictures with a side above tile_size (unless it is 0) "
    "are cut into tiles first. Then they are resized by Pillow's BILINEAR filter, which averages "
    "when it shrinks: to fixed_size (height, width) if there is one, else so that the short side "
    "is min_size (0: not resized), or the long one max_size if it would exceed that; sides are "
    "rounded half up, and a narrow picture keeps at least one pixel. Pad at right and bottom with "
    "anything to multiples of size_divisibility. "
    "sizes: (N, 2) height and width before padding; "
    "original_sizes: (N, 2) height and width before resizing; score_threshold: lowest score. "
    "boxes: x0 y0 x1 y1 in pixels of the originals, best first; a score of 0 marks an empty row; "
    "masks: probabilities to be stretched over the boxes."
)


@dataclass(frozen=True, kw_only=True)
class OnnxCard:
    """The card of a file.

    class_names     names in the order of the classes
    architecture    MODEL.META_ARCHITECTURE
    image_format    BGR, RGB or L
    bits_per_sample significant bits of integers with more than 8; 0: not set, treated as 16
    float_white     the float that is white; 0: not set, 1 if no value is larger, else 255
    min_size        short side of resized images, 0: not resized
    max_size        largest long side
    fixed_size      (height, width) to which every image is stretched instead; (): to none
    score_thresh    the model's lowest score
    tile_size       side of the tiles into which larger images are cut, before resizing; 0: none
    tile_overlap    least number of pixels that neighbouring tiles share; 0: a quarter of tile_size
    tile_whole_image  whether the model looks at the whole picture, too
    nms_thresh      IoU within a class above which the file drops a detection; also between tiles
    max_detections  largest number of detections of an image or tile
    precision       fp32 or int8
    weights_sha256  SHA-256 of the file with the original weights; "" if unknown
    agreement       results of the comparison of its detections with the engine's
    accuracy        AP on validation data: of fp32 its own, of int8 also that before, and its loss
    speed           milliseconds an image beside torch's, and where they were measured
    """

    class_names: tuple[str, ...]
    architecture: str
    image_format: str
    min_size: int
    max_size: int
    size_divisibility: int
    score_thresh: float
    bits_per_sample: int = 0
    float_white: float = 0.0
    fixed_size: tuple[int, ...] = ()
    tile_size: int = 0
    tile_overlap: int = 0
    tile_whole_image: bool = False
    nms_thresh: float = 0.5
    max_detections: int = 100
    has_masks: bool = False
    precision: str = "fp32"
    weights_sha256: str = ""
    agreement: Mapping[str, float] = field(default_factory=dict)
    accuracy: Mapping[str, float] = field(default_factory=dict)
    speed: Mapping[str, float | str] = field(default_factory=dict)
    format: int = FORMAT

    def metadata(self) -> dict[str, str]:
        """Return the keys and values for the file."""
        values = {name: json.dumps(value) for name, value in asdict(self).items()}
        return {**values, "usage": USAGE}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], where: str) -> Self:
        """Return the card of a file; CheckpointError if this program did not export the file."""
        try:
            values: dict[str, Any] = {
                f.name: json.loads(metadata[f.name])
                for f in fields(cls)
                if f.name in metadata or f.name not in _ADDED
            }
        except (KeyError, ValueError) as error:
            raise CheckpointError(
                f"{where}: not exported by this program ({error} in its metadata); export the "
                "model again with `python -m app.cli export --format onnx`"
            ) from error
        if values["format"] != FORMAT:
            raise CheckpointError(
                f"{where}: exported by another version of this program (format "
                f"{values['format']}, not {FORMAT}); export the model again"
            )
        for name in ("class_names", "fixed_size"):
            values[name] = tuple(values.get(name, ()))
        return cls(**values)
