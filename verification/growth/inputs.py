"""Make an /in folder with an index of any length: few photographs, many names, a tiny model."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from app.engine.checkpoint.saved_model import save_model
from app.engine.config import CfgNode, load_config
from app.engine.modeling.build import build_detector
from verification import REPOSITORY
from verification.reliability.trees import COLOURS
from verification.task_folder import write_settings

CLASS_NAMES = list(COLOURS)
NUM_PICTURES = 40
SIDE = 64
BATCH_SIZE = 32

TINY = [
    "MODEL.WEIGHTS ''",
    "MODEL.BACKBONE.NAME build_retinanet_regnet_fpn_backbone",
    "MODEL.REGNETS.STEM_WIDTH 8",
    "MODEL.REGNETS.DEPTH 4",
    "MODEL.REGNETS.W_0 8",
    "MODEL.REGNETS.W_A 16",
    "MODEL.REGNETS.W_M 1.5",
    "MODEL.REGNETS.GROUP_WIDTH 8",
    "MODEL.FPN.IN_FEATURES ['s2','s3','s4']",
    "MODEL.FPN.OUT_CHANNELS 16",
    "MODEL.RETINANET.NUM_CONVS 1",
    "MODEL.RETINANET.PRIOR_PROB 0.2",
    "MODEL.RETINANET.TOPK_CANDIDATES_TEST 50",
    "TEST.DETECTIONS_PER_IMAGE 5",
    f"INPUT.MIN_SIZE_TEST {SIDE}",
    f"INPUT.MAX_SIZE_TEST {2 * SIDE}",
]
"""A RetinaNet with a few channels, so that nearly all time is the pipeline's."""


def tiny_config() -> CfgNode:
    """The config of the tiny model."""
    overrides = [word for setting in TINY for word in setting.split(" ", 1)]
    path = REPOSITORY / "configs" / "COCO-Detection" / "retinanet_R_50_FPN_1x.yaml"
    cfg = load_config(path, overrides)
    cfg.defrost()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.RETINANET.NUM_CLASSES = len(CLASS_NAMES)
    cfg.freeze()
    return cfg


def make_inputs(
    folder: Path,
    *,
    task: str,
    num_lines: int,
    settings: dict[str, Any],
) -> Path:
    """Fill `folder`/in for one run of `task` ("infer" or "mining"); the path of its env.yaml."""
    inputs = folder / "in"
    for path in (inputs / "assets", inputs / "models", folder / "out"):
        path.mkdir(parents=True, exist_ok=True)
    _save_model(inputs / "models")
    _write_index(inputs, num_lines)
    settings = {"class_names": CLASS_NAMES, "batch_size": BATCH_SIZE, **settings}
    return write_settings(folder, task, settings, task_id=f"{task}-{num_lines}")


def _save_model(models: Path) -> None:
    torch.manual_seed(0)
    cfg = tiny_config()
    model = build_detector(cfg)
    save_model(model, cfg, CLASS_NAMES, name="tiny", directory=models, iteration=1, metrics={})


def _write_index(inputs: Path, num_lines: int) -> None:
    """Write hard links, a thousand per folder, named by content hash as on the platform."""
    assets = inputs / "assets"
    pictures = [_picture(assets / f"picture_{n}.jpg", n) for n in range(NUM_PICTURES)]
    index = inputs / "candidate-index.tsv"
    with index.open("w", encoding="utf-8") as stream:
        for number in range(num_lines):
            link = assets / f"{number // 1000:04d}" / f"{number:040x}.jpg"
            if number % 1000 == 0:
                link.parent.mkdir(exist_ok=True)
            if not link.exists():
                os.link(pictures[number % NUM_PICTURES], link)
            stream.write(f"{link}\n")


def _picture(path: Path, seed: int) -> Path:
    """A JPEG with large and small structures and two coloured boxes."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 160, (SIDE // 16, SIDE // 16, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    noise = rng.integers(0, 20, (SIDE, SIDE, 3), dtype=np.uint8)
    pixels = np.asarray(smooth) // 2 + noise + 40
    for colour in COLOURS.values():
        x, y = rng.integers(0, SIDE // 2, 2)
        w, h = rng.integers(SIDE // 6, SIDE // 2, 2)
        pixels[y : y + h, x : x + w] = colour
    Image.fromarray(pixels).save(path, quality=90)
    return path
