"""The names of a model's outputs come from its weights file."""

from pathlib import Path

import pytest
import torch

from app.cli.names import with_known_names
from app.engine.config import get_config


@pytest.mark.parametrize(
    ("extra", "names", "ids"),
    [
        pytest.param({}, [], [], id="nothing"),
        pytest.param({"class_names": ["cat", "dog"]}, ["cat", "dog"], [], id="names alone"),
        pytest.param(
            {"class_names": ("cat", "dog"), "category_ids": [3, 7]},
            ["cat", "dog"],
            [3, 7],
            id="names and ids",
        ),
        pytest.param(
            {"class_names": ["cat", "dog"], "category_ids": [3]}, ["cat", "dog"], [], id="one id"
        ),
        pytest.param(
            {"class_names": ["cat", "dog"], "category_ids": ["3", None]},
            ["cat", "dog"],
            [],
            id="ids that are none",
        ),
        pytest.param(
            {"class_names": ["cat", "dog"], "category_ids": 3}, ["cat", "dog"], [], id="a number"
        ),
        pytest.param({"class_names": ["cat"]}, [], [], id="of another number of classes"),
        pytest.param({"class_names": "ab"}, [], [], id="a text"),
        pytest.param({"class_names": [1, 2]}, [], [], id="numbers"),
        pytest.param({"class_names": 2}, [], [], id="their number"),
    ],
)
def test_names_in_a_weights_file(
    tmp_path: Path, extra: dict[str, object], names: list[str], ids: list[int]
) -> None:
    cfg = get_config()
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.RETINANET.NUM_CLASSES = "RetinaNet", 2
    torch.save({"model": {"a.weight": torch.zeros(2)}, **extra}, tmp_path / "weights.pth")
    found = with_known_names(cfg, tmp_path / "weights.pth").MODEL
    assert list(found.CLASS_NAMES) == names
    assert list(found.CATEGORY_IDS) == ids
