"""Saved models with random weights of a few thousand numbers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from app.engine.checkpoint.saved_model import save_model
from app.engine.config import load_config, set_classes
from app.engine.modeling.build import build_detector

CONFIGS = Path(__file__).parents[4] / "configs"

NARROW = [
    *("MODEL.DEVICE", "cpu"),
    *("MODEL.WEIGHTS", ""),
    *("MODEL.RESNETS.WIDTH_PER_GROUP", "4"),
    *("MODEL.RESNETS.RES2_OUT_CHANNELS", "8"),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", "8"),
    *("MODEL.RESNETS.NORM", "BN"),
    *("MODEL.FPN.OUT_CHANNELS", "16"),
    *("MODEL.RPN.POST_NMS_TOPK_TEST", "20"),
    *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0"),
    *("MODEL.ROI_BOX_HEAD.FC_DIM", "16"),
    *("MODEL.ROI_MASK_HEAD.CONV_DIM", "8"),
    *("MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS", "(8,)"),
    *("MODEL.SEM_SEG_HEAD.CONVS_DIM", "32"),
    *("MODEL.RETINANET.SCORE_THRESH_TEST", "0.0"),
    *("INPUT.MIN_SIZE_TEST", "64"),
    *("TEST.DETECTIONS_PER_IMAGE", "5"),
]

Save = Callable[..., Path]


@pytest.fixture(scope="session")
def save(tmp_path_factory: pytest.TempPathFactory) -> Save:
    """Save an untrained model of a config with these classes; return its folder."""

    def saved(config: str, names: list[str], *overrides: str) -> Path:
        torch.manual_seed(0)
        cfg = load_config(CONFIGS / config, [*NARROW, *overrides])
        if names:
            set_classes(cfg, names)
        folder = tmp_path_factory.mktemp("models")
        save_model(
            build_detector(cfg), cfg, names, name="best", directory=folder, iteration=1, metrics={}
        )
        (folder / "result.yaml").write_text(
            "best_stage_name: best\nmodel_stages: {best: {files: [model.pth, config.yaml]}}\n"
        )
        return folder

    return saved


@pytest.fixture(scope="session")
def boxes_model(save: Save) -> Path:
    """A folder of models with a RetinaNet that finds cats and dogs."""
    return save("Mobile/retinanet_mobilenetv2_FPN_light.yaml", ["cat", "dog"])
