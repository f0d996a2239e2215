"""Keypoints swap sides in a mirrored image by setting, by names, or not at all."""

import logging

import numpy as np
import pytest

from app.engine.config import CfgNode, get_config
from app.engine.data.transforms.geometric import FlipHorizontal
from app.engine.data.transforms.keypoints import (
    COCO_PERSON,
    keypoint_mirror,
    require_mirror,
    without_false_flips,
)
from app.engine.data.transforms.mirror import mirror_of
from app.engine.data.transforms.transform import transform_keypoints
from app.engine.errors import ConfigError

FISH = ["nose", "L_fin", "R_fin", "tail"]


@pytest.fixture
def cfg() -> CfgNode:
    """Of a model that learns the keypoints of a fish."""
    cfg = get_config()
    cfg.MODEL.KEYPOINT_ON = True
    cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS = len(FISH)
    cfg.MODEL.KEYPOINT_NAMES = FISH
    return cfg


def test_a_mirrored_fish() -> None:
    """The left fin is where the right one was; what lies in the middle stays itself."""
    points = np.array([[[50, 10, 2], [30, 20, 2], [70, 25, 1], [52, 90, 2]]], dtype=np.float32)
    moved = transform_keypoints([FlipHorizontal(100)], points, (100, 100), mirror_of(FISH).indices)
    assert moved.tolist() == [[[50, 10, 2], [30, 25, 1], [70, 20, 2], [48, 90, 2]]]


@pytest.mark.parametrize(
    ("pairs", "indices"),
    [
        pytest.param([], (0, 2, 1, 3), id="told by the names"),
        pytest.param([["nose", "tail"]], (3, 1, 2, 0), id="names, and those alone"),
        pytest.param([("L_FIN ", "r_fin")], (0, 2, 1, 3), id="names in another case"),
        pytest.param([[0, 1], [2, 3]], (1, 0, 3, 2), id="indices"),
        pytest.param([["L_fin", 2]], (0, 2, 1, 3), id="one of each"),
    ],
)
def test_pairs_are_given_or_told_by_names(cfg, pairs, indices) -> None:
    cfg.INPUT.KEYPOINT_FLIP_PAIRS = pairs
    assert keypoint_mirror(cfg).indices == indices
    assert tuple(require_mirror(cfg, "X")) == indices


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        pytest.param([["L_fin", "gill"]], "'gill' is none of the keypoints", id="unknown name"),
        pytest.param([[1, 4]], "4 is no index of 4 keypoints", id="index too high"),
        pytest.param([[-1, 0]], "-1 is no index", id="index below zero"),
        pytest.param([[1, 1]], "names a keypoint twice", id="itself"),
        pytest.param([[0, 1], [1, 2]], "names a keypoint twice", id="in two pairs"),
    ],
)
def test_wrong_pairs_are_refused(cfg, pairs, sentence) -> None:
    cfg.INPUT.KEYPOINT_FLIP_PAIRS = pairs
    with pytest.raises(ConfigError, match=sentence):
        keypoint_mirror(cfg)


def test_names_and_number_must_agree(cfg) -> None:
    cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS = 5
    with pytest.raises(ConfigError, match=r"MODEL.KEYPOINT_NAMES has 4 names"):
        keypoint_mirror(cfg)


def test_without_names_seventeen_are_cocos_person(cfg) -> None:
    cfg.MODEL.KEYPOINT_NAMES = []
    assert keypoint_mirror(cfg) is None
    with pytest.raises(ConfigError, match=r"X asks for mirrored images.* is not known"):
        require_mirror(cfg, "X")
    cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS = 17
    assert keypoint_mirror(cfg) == mirror_of(COCO_PERSON)


@pytest.mark.parametrize(
    ("names", "flip", "pairs", "expected"),
    [
        pytest.param(FISH, "horizontal", [], "horizontal", id="all have partners"),
        pytest.param(["nose", "L_fin", "fin", "tail"], "horizontal", [], "none", id="one has none"),
        pytest.param(
            ["nose", "L_fin", "fin", "tail"], "vertical", [], "vertical", id="upside down"
        ),
        pytest.param(
            ["nose", "L_fin", "fin", "tail"], "horizontal", [[1, 2]], "horizontal", id="a setting"
        ),
    ],
)
def test_images_are_not_mirrored_where_that_teaches_wrong_sides(
    cfg, caplog, names, flip, pairs, expected
) -> None:
    cfg.MODEL.KEYPOINT_NAMES = names
    cfg.INPUT.RANDOM_FLIP = flip
    cfg.INPUT.KEYPOINT_FLIP_PAIRS = pairs
    cfg.freeze()
    with caplog.at_level(logging.WARNING):
        settled = without_false_flips(cfg)
    assert expected == settled.INPUT.RANDOM_FLIP
    assert ("'L_fin'" in caplog.text) == (flip != expected)
    assert settled.is_frozen()
