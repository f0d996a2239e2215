import logging

import pytest

from app.engine.config import CfgNode, get_config
from app.engine.data.transforms.keypoints import COCO_PERSON
from app.engine.errors import ConfigError
from app.engine.evaluation.keypoint_sigmas import (
    COCO_OKS_SIGMAS,
    DEFAULT_SIGMA,
    oks_sigmas,
    tell_sigmas,
)


def config(*, count: int, names: tuple[str, ...] = (), sigmas: tuple[float, ...] = ()) -> CfgNode:
    cfg = get_config()
    cfg.MODEL.KEYPOINT_ON = True
    cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS = count
    cfg.MODEL.KEYPOINT_NAMES = list(names)
    cfg.TEST.KEYPOINT_OKS_SIGMAS = list(sigmas)
    return cfg


@pytest.mark.parametrize(
    ("cfg", "expected", "told"),
    [
        pytest.param(config(count=17), list(COCO_OKS_SIGMAS), "", id="17 without names"),
        pytest.param(
            config(count=17, names=COCO_PERSON[::-1]),
            list(COCO_OKS_SIGMAS)[::-1],
            "",
            id="COCO's in another order",
        ),
        pytest.param(
            config(count=2), [DEFAULT_SIGMA] * 2, "0.067 for 2 of 2 keypoints", id="no names"
        ),
        pytest.param(
            config(count=3, names=("L-Eye", "R-Eye", "tail")),
            [0.025, 0.025, DEFAULT_SIGMA],
            "0.067 for 1 of 3 keypoints and COCO's",
            id="two named like COCO's",
        ),
        pytest.param(config(count=2, sigmas=(0.1, 0.2)), [0.1, 0.2], "", id="given"),
    ],
)
def test_sigmas(cfg: CfgNode, expected: list[float], told: str, caplog) -> None:
    assert oks_sigmas(cfg) == expected
    with caplog.at_level(logging.WARNING):
        tell_sigmas(cfg)
    assert told in caplog.text
    assert bool(told) == bool(caplog.text)


@pytest.mark.parametrize(
    "sigmas", [(0.1,), (0.1, 0.2, 0.3), (0.1, 0.0), (0.1, -1.0), (0.1, float("nan"))]
)
def test_sigmas_that_do_not_fit_are_refused(sigmas: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match=r"TEST.KEYPOINT_OKS_SIGMAS has .* 2 keypoints"):
        oks_sigmas(config(count=2, sigmas=sigmas))


def test_the_default_is_the_mean_of_cocos() -> None:
    assert pytest.approx(sum(COCO_OKS_SIGMAS) / 17, abs=5e-4) == DEFAULT_SIGMA
