"""A trained model's config with the values of its opening."""

from pathlib import Path

import pytest

from app.engine.config import load_config, set_classes
from app.engine.trained.inference_config import inference_config
from app.engine.trained.opening import Opening

LIGHT = Path(__file__).parents[4] / "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    cfg = load_config(LIGHT)
    set_classes(cfg, ("cat", "dog"))
    cfg.TEST.AUG.ENABLED = True
    (tmp_path / "config.yaml").write_text(cfg.dump())
    return tmp_path / "config.yaml"


def test_values_of_the_opening(file: Path) -> None:
    cfg = inference_config(file, Opening(image_size=64, score_threshold=0.4))
    assert cfg.MODEL.DEVICE == "cpu"
    assert cfg.MODEL.RETINANET.SCORE_THRESH_TEST == 0.4
    assert cfg.MODEL.CLASS_NAMES == ["cat", "dog"]
    assert cfg.INPUT.MIN_SIZE_TEST == 64


def test_values_of_the_model(file: Path) -> None:
    cfg, own = inference_config(file, Opening()), load_config(file)
    assert cfg.MODEL.RETINANET.SCORE_THRESH_TEST == own.MODEL.RETINANET.SCORE_THRESH_TEST
    assert cfg.INPUT.MIN_SIZE_TEST == own.INPUT.MIN_SIZE_TEST


@pytest.mark.parametrize("views", [True, False])
def test_views_of_a_model(file: Path, views: bool) -> None:
    assert views == inference_config(file, Opening(views=views)).TEST.AUG.ENABLED
