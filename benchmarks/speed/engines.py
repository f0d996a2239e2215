"""The engines that can be compared, each in its own process and with its own Python.

An engine is a callable: uint8 BGR pixels (H, W, 3) -> detections as arrays, in the pixels given.
"""

import re
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[Any]
Engine = Callable[[Array], dict[str, Array]]

KINDS = {
    "onnx": "benchmarks.speed.engine_onnx",
    "ours": "benchmarks.speed.engine_ours",
    "d2": "benchmarks.speed.anchor_detectron2",
    "torchvision": "benchmarks.speed.anchor_torchvision",
}
"""Module with `load(workload: Workload, precision: str) -> Engine`."""

CONFIGS = {
    "retinanet_R_50_FPN_1x": "COCO-Detection",
    "retinanet_R_101_FPN_3x": "COCO-Detection",
    "faster_rcnn_R_50_FPN_1x": "COCO-Detection",
    "faster_rcnn_R_50_C4_1x": "COCO-Detection",
    "mask_rcnn_R_50_FPN_1x": "COCO-InstanceSegmentation",
    "keypoint_rcnn_R_50_FPN_1x": "COCO-Keypoints",
    "retinanet_mobilenetv2_FPN_light": "Mobile",
}
"""Folder of each config."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A model, its image size (shorter side, limit of the longer one) and a number of threads."""

    config: str
    short: int
    max_size: int
    threads: int

    @property
    def file(self) -> str:
        """The config's path below `configs/`."""
        return f"{CONFIGS[self.config]}/{self.config}.yaml"


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """`KIND[:PRECISION][+malloc|-malloc][=PYTHON]`.

    malloc  whether the C library's allocator keeps large blocks, as in the tasks of the product;
            the default for ours, in torch and in ONNX Runtime; `-malloc` turns it off
    """

    label: str
    kind: str
    precision: str
    malloc: bool
    python: str

    @classmethod
    def parse(cls, text: str, kinds: Collection[str]) -> "EngineSpec":
        """ValueError where the text is none of these kinds."""
        label, _, python = text.partition("=")
        match = re.fullmatch(r"(\w+?)(?::(\w+))?([+-]malloc)?", label)
        if not match or match[1] not in kinds:
            raise ValueError(f"{text!r} is no engine; KIND is one of {', '.join(kinds)}")
        malloc = match[3] == "+malloc" if match[3] else match[1] in ("onnx", "ours")
        return cls(label, match[1], match[2] or "fp32", malloc, python or sys.executable)


def read_pixels(path: Path) -> Array:
    """Read the image that engines get: uint8 BGR, (H, W, 3)."""
    with Image.open(path) as image:
        return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def load_engine(kind: str, workload: Workload, precision: str) -> Engine:
    """Import and build one; only ever called in the engine's own process."""
    engine: Engine = import_module(KINDS[kind]).load(workload, precision)
    return engine
