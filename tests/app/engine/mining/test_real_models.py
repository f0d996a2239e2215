"""One-stage and two-stage detectors under the predictor and every strategy."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from app.engine.config import load_config
from app.engine.data.images.reading import read_image
from app.engine.mining import STRATEGIES, score_files
from app.engine.modeling.build import build_detector
from app.engine.predictor import Predictor

CONFIGS = Path(__file__).parents[4] / "configs" / "Mobile"
OVERRIDES = ["MODEL.DEVICE", "cpu", "INPUT.MIN_SIZE_TEST", "64", "INPUT.MAX_SIZE_TEST", "96"]
OVERRIDES += ["MODEL.RETINANET.NUM_CLASSES", "3", "MODEL.ROI_HEADS.NUM_CLASSES", "3"]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    paths = [folder / f"{i}.png" for i in range(5)]
    for path, (height, width) in zip(
        paths, [(64, 96), (64, 80), (64, 96), (90, 64), (64, 90)], strict=True
    ):
        noise = rng.integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((width, height)).save(path)
    return paths


@pytest.fixture(
    scope="module",
    params=["retinanet_mobilenetv2_FPN_light.yaml", "faster_rcnn_mobilenetv2_FPN_light.yaml"],
)
def trained(request):
    """A config and a model that is sure of many different things, as if trained on noise."""
    cfg = load_config(CONFIGS / request.param, OVERRIDES)
    torch.manual_seed(0)
    model = build_detector(cfg)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and "bbox" not in name:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            module.weight.data.mul_(0.3 if name.endswith("cls_score") else 1)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return cfg, model


def test_batches_do_not_change_detections(trained, paths):
    cfg, model = trained
    alone, together = (
        [found for _, found in Predictor(model, cfg, batch_size=size).detect_files(paths)]
        for size in (1, 4)
    )
    assert sum(map(len, alone)) > 50
    for first, second in zip(alone, together, strict=True):
        # Four small maps together may have enough tiles for Winograd where one has not.
        torch.testing.assert_close(first.scores, second.scores, atol=1e-3, rtol=0)
        torch.testing.assert_close(first.boxes, second.boxes, atol=1e-2, rtol=0)


def test_weights_from_a_file(trained, paths, tmp_path):
    cfg, model = trained
    torch.save({"model": model.state_dict()}, tmp_path / "weights.pth")
    images = [read_image(paths[0])]
    (expected,) = Predictor(model, cfg).detect(images)
    (found,) = Predictor.from_files(cfg, tmp_path / "weights.pth").detect(images)
    assert torch.equal(found.scores, expected.scores)


def test_every_strategy_gives_finite_scores_that_batches_do_not_change(trained, paths):
    cfg, model = trained
    for name in STRATEGIES:
        alone, together = (
            [
                score
                for _, score in score_files(
                    name, Predictor(model, cfg, batch_size=size), paths[1:4]
                )
            ]
            for size in (1, 4)
        )
        assert all(map(math.isfinite, alone))
        assert together == pytest.approx(alone, abs=1e-3)
        assert len(set(alone)) == 3
