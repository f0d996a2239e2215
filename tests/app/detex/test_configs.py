"""The list of models: one line for each, with the right weights and tasks."""

import json
from pathlib import Path

import pytest
import torch

from app.detex import configs
from app.engine.config import load_config
from app.engine.modeling.build import build_detector
from app.places import CONFIG_ROOT
from app.tasks.config_file import named_configs

MOBILE = "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml"


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights are in one folder only, which is empty."""
    monkeypatch.setattr(configs, "weights_folders", lambda: [tmp_path])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "finds", "in_tasks", "weights"),
    [
        pytest.param(MOBILE, "boxes", True, "mobilenet_v2-b0353104.pth", id="boxes"),
        pytest.param(
            "configs/new_baselines/mask_rcnn_R_50_FPN_50ep_LSJ.yaml",
            "masks",
            True,
            "none",
            id="masks",
        ),
        pytest.param(
            "configs/COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.yaml",
            "keypoints",
            False,
            "R-50.pkl",
            id="keypoints",
        ),
        pytest.param(
            "configs/COCO-Detection/fast_rcnn_R_50_FPN_1x.yaml",
            "boxes",
            False,
            "R-50.pkl",
            id="given proposals",
        ),
        pytest.param(
            "configs/Misc/semantic_R_50_FPN_1x.yaml", "semantic", False, "R-50.pkl", id="label maps"
        ),
    ],
)
def test_what_a_model_is_for(name: str, finds: str, in_tasks: bool, weights: str) -> None:
    described = configs.describe(CONFIG_ROOT / name, measure=False)
    assert (described.finds, described.in_tasks, described.weights) == (finds, in_tasks, weights)
    assert described.seconds is None


def test_weights_that_are_here(no_weights: Path) -> None:
    (no_weights / "mobilenet_v2-b0353104.pth").write_bytes(b"x")
    assert configs.describe(CONFIG_ROOT / MOBILE, measure=False).weights == "here"


def test_the_size_is_that_of_the_network_and_speed_is_measured() -> None:
    torch.set_num_threads(1)
    described = configs.describe(CONFIG_ROOT / MOBILE, measure=True)
    cfg = load_config(CONFIG_ROOT / MOBILE)
    cfg.MODEL.DEVICE = "cpu"
    model = build_detector(cfg)
    assert described.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert described.seconds is not None
    assert described.seconds > 0


def test_a_model_that_needs_more_than_a_picture_is_not_measured() -> None:
    name = "configs/COCO-Detection/fast_rcnn_R_50_FPN_1x.yaml"
    assert configs.describe(CONFIG_ROOT / name, measure=True).seconds is None


def test_the_table_and_its_lines_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert configs.report(["retinanet_mobilenetv2_FPN_l"], measure=False, as_json=False) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[1].startswith(MOBILE)
    assert "3.4 M" in table[1]
    assert configs.report(["Mobile"], measure=False, as_json=True) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert MOBILE in [line["config_file"] for line in lines]


def test_a_name_is_looked_for_in_this_product_only(capsys: pytest.CaptureFixture[str]) -> None:
    """The folder of a clone may be called Mobile too."""
    assert configs.report([str(CONFIG_ROOT)], measure=False, as_json=False) == 2
    assert "no config is named so" in capsys.readouterr().err


def test_every_config_is_listed_but_bases() -> None:
    paths = named_configs()
    assert len(paths) > 80
    assert not any(path.name.startswith("Base") for path in paths)
