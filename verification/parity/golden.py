"""Goldens, the answers of detectron2: a compressed file per config, or a folder with photographs.

A golden holds inference cases and the losses of a few SGD steps on one fixed batch. Pixels are not
stored, because the scenes are generated again; a folder made elsewhere may contain its own images.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pycocotools import mask as coco_mask

from verification.parity import scenes
from verification.parity.weights import Rule

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Labels:
    """Ground truth of one training image; see `scenes` for the layouts."""

    boxes: Array
    classes: Array
    polygons: list[list[Array]]
    keypoints: Array
    semantic: Array


@dataclass(frozen=True, slots=True)
class Case:
    """One image, uint8 BGR, and the expected detections in pixels of `original_size`."""

    name: str
    image: scenes.Image
    original_size: tuple[int, int]
    score_thresh: float | None
    expected: dict[str, Array]


@dataclass(frozen=True, slots=True)
class Training:
    """A fixed batch, and the results of successive SGD steps of constant rate.

    gradients  norm and sum of each parameter's gradient at the first step; empty: not recorded
    """

    images: list[scenes.Image]
    labels: list[Labels]
    opts: list[Any]
    lr: float
    losses: list[dict[str, float]]
    gradients: dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Golden:
    """All recorded answers for one config, and the recipe of its weights."""

    config: str
    opts: list[Any]
    overrides: list[Rule]
    cases: list[Case]
    training: Training | None


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a golden with generated scenes is made; stored in its file, read by both engines.

    sizes       (height, width, original height, original width) of each inference case
    train_opts  config keys for training only: sampling everything makes it free of random draws
    """

    config: str
    opts: list[Any] = field(default_factory=list)
    overrides: list[Rule] = field(default_factory=list)
    sizes: list[tuple[int, int, int, int]] = field(
        default_factory=lambda: [(160, 224, 200, 280), (192, 128, 192, 128)]
    )
    train_sizes: list[tuple[int, int]] = field(default_factory=lambda: [(128, 160), (112, 192)])
    train_opts: list[Any] = field(default_factory=list)
    num_classes: int = 80
    lr: float = 0.001
    steps: int = 3

    def image(self, index: int) -> scenes.Image:
        """Input of inference case `index`."""
        height, width = self.sizes[index][:2]
        return scenes.image(height, width, seed=index)

    def train_image(self, index: int) -> scenes.Image:
        """Training image `index`."""
        return scenes.image(*self.train_sizes[index], seed=100 + index)

    def labels(self, index: int) -> Labels:
        """Labels of training image `index`; each image has one object fewer than the one before."""
        height, width = self.train_sizes[index]
        boxes = scenes.boxes(height, width)[index:]
        classes = np.asarray([0, 17, 56, 2, 41])[index:] % self.num_classes
        return Labels(
            boxes,
            classes,
            scenes.polygons(boxes),
            scenes.keypoints(boxes, seed=index),
            scenes.semantic(height, width, num_classes=54),
        )


def save(
    path: Path,
    recipe: Recipe,
    *,
    cases: Sequence[dict[str, Array]],
    losses: Sequence[dict[str, float]],
    gradients: Mapping[str, tuple[float, float]],
) -> None:
    """Write one golden: arrays compressed, masks as run lengths."""
    arrays: dict[str, Array] = {}
    for i, case in enumerate(cases):
        for key, value in case.items():
            if key == "masks":
                text = "\n".join(_run_lengths(mask) for mask in value)
                value = np.frombuffer(text.encode(), dtype=np.uint8)
            arrays[f"{i}/{key}"] = value
    arrays["gradients"] = np.asarray(list(gradients.values()), dtype=np.float32).reshape(-1, 2)
    about = {"recipe": asdict(recipe), "losses": list(losses), "parameters": list(gradients)}
    arrays["about"] = np.asarray(json.dumps(about))
    np.savez_compressed(path, allow_pickle=False, **arrays)


def load(path: Path) -> Golden:
    """Read a golden written by `save`."""
    with np.load(path) as file:
        arrays = dict(file)
    about = json.loads(str(arrays.pop("about")))
    gradients = arrays.pop("gradients", np.zeros((0, 2))).tolist()
    recipe = Recipe(**about["recipe"])
    cases = []
    for i, (height, width, *original_size) in enumerate(recipe.sizes):
        start = f"{i}/"
        expected = {k[len(start) :]: v for k, v in arrays.items() if k.startswith(start)}
        original = (original_size[0], original_size[1])
        if "masks" in expected:
            codes = expected["masks"].tobytes().decode().splitlines()
            expected["masks"] = _from_run_lengths(codes, original)
        cases.append(Case(f"{height}x{width}", recipe.image(i), original, None, expected))
    training = Training(
        [recipe.train_image(i) for i in range(len(recipe.train_sizes))],
        [recipe.labels(i) for i in range(len(recipe.train_sizes))],
        recipe.train_opts,
        recipe.lr,
        about["losses"],
        dict(zip(about.get("parameters", []), gradients, strict=True)),
    )
    return Golden(
        recipe.config,
        recipe.opts,
        recipe.overrides,
        cases,
        training if about["losses"] else None,
    )


def load_folder(root: Path, name: str) -> Golden:
    """Read `root/golden/<name>/` with its images and spec: photographs, one npz for each case."""
    directory = root / "golden" / name
    meta = json.loads((directory / "golden.json").read_text())
    spec = json.loads((root / meta["spec"]).read_text())
    cases = []
    for case, about in meta["cases"].items():
        with np.load(directory / f"{case}.npz") as file:
            expected = {k: v for k, v in file.items() if "/" not in k}
        original = (int(about["orig_hw"][0]), int(about["orig_hw"][1]))
        if "mask_rle" in about:
            expected["masks"] = _from_run_lengths(about["mask_rle"], original)
        if "sem_seg" in expected:
            expected["semantic"] = expected["sem_seg"]
            expected["semantic_sure"] = expected["sem_seg_margin_u8"] > 1  # hundredths
        if "panoptic" in expected:
            segments = about["segments_info"]
            expected["panoptic_things"] = np.asarray([s["isthing"] for s in segments], dtype=bool)
            expected["panoptic_classes"] = np.asarray([s["category_id"] for s in segments])
        image = _read_bgr(root / about["input"])
        cases.append(Case(case, image, original, about["score_thresh"], expected))
    train = meta.get("train")
    training = None if train is None else _folder_training(root, train)
    overrides = [(p, kind, arguments) for p, kind, arguments in spec["overrides"]]
    return Golden(meta["config"], spec.get("opts", []), overrides, cases, training)


def _folder_training(root: Path, train: dict[str, Any]) -> Training:
    images = [_read_bgr(root / "images" / entry["image"]) for entry in train["batch"]]
    labels = [
        Labels(
            np.asarray(entry["boxes"], dtype=np.float32),
            np.asarray(entry["classes"]),
            [[np.asarray(p, dtype=np.float64) for p in polygons] for polygons in entry["polygons"]],
            np.asarray(entry["keypoints"], dtype=np.float32),
            scenes.semantic(*image.shape[:2], num_classes=54),
        )
        for entry, image in zip(train["batch"], images, strict=True)
    ]
    sgd, gradients = train["sgd"], train["grad_norm_and_sum_step0"]
    return Training(images, labels, train["opts"], sgd["lr"], sgd["losses"], gradients)


def _read_bgr(path: Path) -> scenes.Image:
    with Image.open(path) as image:
        return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def _run_lengths(mask: Array) -> str:
    code: bytes = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    return code.decode()


def _from_run_lengths(codes: Sequence[str], size: tuple[int, int]) -> Array:
    if not codes:
        return np.zeros((0, *size), dtype=bool)
    rles = [{"size": list(size), "counts": code.encode()} for code in codes]
    return np.asarray(coco_mask.decode(rles), dtype=bool).transpose(2, 0, 1)
