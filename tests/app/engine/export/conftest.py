"""One tiny RetinaNet, exported once for all tests of this folder."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.engine.config import get_config
from app.engine.export import EXPORTERS, ExportJob
from app.engine.modeling.build import build_detector


def tiny_cfg():
    """18 layers of a few channels, two levels, three classes."""
    cfg = get_config()
    model = cfg.MODEL
    model.DEVICE, model.META_ARCHITECTURE = "cpu", "RetinaNet"
    model.BACKBONE.NAME = "build_resnet_fpn_backbone"
    model.RESNETS.DEPTH, model.RESNETS.RES2_OUT_CHANNELS = 18, 64
    model.RESNETS.OUT_FEATURES = model.FPN.IN_FEATURES = ["res4", "res5"]
    model.FPN.OUT_CHANNELS = 16
    model.RETINANET.IN_FEATURES = model.FCOS.IN_FEATURES = ["p4", "p5"]
    model.RETINANET.NUM_CONVS = model.FCOS.NUM_CONVS = 1
    model.RETINANET.NUM_CLASSES = model.FCOS.NUM_CLASSES = model.ROI_HEADS.NUM_CLASSES = 3
    model.ANCHOR_GENERATOR.SIZES = [[32], [64]]
    model.ANCHOR_GENERATOR.ASPECT_RATIOS = [[0.5, 1.0]]
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 64, 128
    cfg.TEST.DETECTIONS_PER_IMAGE = 20
    return cfg


def spread_scores(model):
    """Fresh scores are all alike: spread them."""
    torch.nn.init.normal_(model.head.cls_score.weight, std=0.01)
    torch.nn.init.constant_(model.head.cls_score.bias, -1.0)
    return model.eval()


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> list[Path]:
    """Three smooth pictures of different sizes."""
    folder = tmp_path_factory.mktemp("photographs")
    paths = []
    for number, (height, width) in enumerate([(48, 64), (70, 50), (64, 64)]):
        coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        paths.append(folder / f"{number}.png")
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(paths[-1])
    return paths


@pytest.fixture(scope="session")
def job(tmp_path_factory, photographs) -> ExportJob:
    torch.manual_seed(0)
    cfg = tiny_cfg()
    cfg.INPUT.BITS_PER_SAMPLE = 12  # of photographs with more than 8
    directory = tmp_path_factory.mktemp("export")
    weights = directory / "model.pth"
    weights.write_bytes(b"stands for the weights")  # only its digest matters
    return ExportJob(
        model=spread_scores(build_detector(cfg)),
        cfg=cfg,
        class_names=["ant", "bee", "cat"],
        directory=directory,
        weights=weights,
        images=photographs,
    )


@pytest.fixture(scope="session")
def onnx_file(job) -> Path:
    (path,) = EXPORTERS["onnx"](job)
    return path
