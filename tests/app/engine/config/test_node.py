import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.config import CfgNode, get_config
from app.engine.config.defaults import DETECTRON2, OWN
from app.engine.config.values import decode, is_plain
from app.engine.errors import ConfigError


def test_every_key_of_detectron2_is_there():
    assert len(list(CfgNode(DETECTRON2).leaves())) == 192
    assert not {k for k, _ in CfgNode(DETECTRON2).leaves()} & {k for k, _ in CfgNode(OWN).leaves()}
    for key, value in get_config().leaves():
        assert is_plain(value), key


def test_configs_do_not_share_their_lists():
    get_config().MODEL.PIXEL_MEAN.append(1.0)

    assert len(get_config().MODEL.PIXEL_MEAN) == 3


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        pytest.param("SOLVER.BASE_LR", 1, 1.0, id="whole number for a float"),
        pytest.param("SOLVER.BASE_LR", "1e-3", 0.001, id="text of a number"),
        pytest.param("SOLVER.MAX_ITER", "0x10", 16, id="hexadecimal"),
        pytest.param("SOLVER.MAX_ITER", 9e4, 90000, id="whole float for a whole number"),
        pytest.param("SOLVER.STEPS", "(1, 2)", (1, 2), id="text of a tuple"),
        pytest.param("SOLVER.STEPS", [1, 2], (1, 2), id="list for a tuple"),
        pytest.param("MODEL.RPN.IOU_THRESHOLDS", (0.1, 0.2), [0.1, 0.2], id="tuple for a list"),
        pytest.param("MODEL.MASK_ON", "true", True, id="lower-case truth"),
        pytest.param("OUTPUT_DIR", "2024", "2024", id="text that looks like a number"),
        pytest.param("OUTPUT_DIR", "'a b'", "a b", id="quoted text"),
        pytest.param("MODEL.WEIGHTS", None, "", id="nothing for text"),
        pytest.param("SOLVER.WEIGHT_DECAY_BIAS", 0.5, 0.5, id="number for None"),
        pytest.param("DATASETS.TRAIN", "('a',)", ("a",), id="tuple of text"),
        pytest.param("MODEL.CLASS_NAMES", ["1", "no"], ["1", "no"], id="inner text stays text"),
    ],
)
def test_values_take_the_kind_of_the_default(key: str, value: Any, expected: Any):
    cfg = get_config()
    cfg.merge_from_list([key, value])

    found = dict(cfg.leaves())[key]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        pytest.param("SOLVER.MAX_ITER", "many", "a whole number", id="word for a number"),
        pytest.param("SOLVER.MAX_ITER", 1.5, "a whole number", id="fraction"),
        pytest.param("SOLVER.MAX_ITER", True, "a whole number", id="truth for a number"),
        pytest.param("SOLVER.MAX_ITER", None, "a whole number", id="nothing for a number"),
        pytest.param("MODEL.MASK_ON", 1, "True or False", id="number for a truth"),
        pytest.param("DATASETS.TRAIN", "coco", "a list", id="word for a list"),
        pytest.param("SOLVER.STEPS", {1, 2}, "a list", id="set"),
        pytest.param("SOLVER", 3, "a section", id="value for a section"),
        pytest.param("SOLVER.MAX_ITERS", 3, "did you mean SOLVER.MAX_ITER", id="misspelt"),
        pytest.param("SOLVER.MAX_ITER.X", 3, "a whole number", id="below a leaf"),
        pytest.param("NUM_CLASSES", 3, "MODEL.ROI_HEADS.NUM_CLASSES", id="without its section"),
        pytest.param("MODEL.WEIGHT", "x", "now called MODEL.WEIGHTS", id="old name"),
        pytest.param("MODEL.POINT_HEAD.NAME", "x", "project PointRend", id="of a project"),
        pytest.param("zzz", 1, "there is no key zzz$", id="nothing alike"),
    ],
)
def test_wrong_overrides_are_named_and_change_nothing(key: str, value: Any, message: str):
    cfg = get_config()

    with pytest.raises(ConfigError, match=message):
        cfg.merge_from_list([key, value])

    assert cfg == get_config()


def test_all_problems_are_told_at_once():
    cfg = get_config()

    with pytest.raises(ConfigError, match=r"MAX_ITER.*BASE_LR"):
        cfg.merge_from_mapping({"SOLVER": {"MAX_ITER": "x", "BASE_LR": "y", "GAMMA": 0.5}})

    assert cfg.SOLVER.GAMMA == 0.1


def test_an_override_without_value_is_named():
    with pytest.raises(ConfigError, match=r"SOLVER\.GAMMA"):
        get_config().merge_from_list(["SOLVER.GAMMA"])


def test_frozen_configs_do_not_change():
    cfg = get_config()
    cfg.freeze()

    assert cfg.is_frozen()
    assert cfg.SOLVER.is_frozen()
    assert cfg.clone().MODEL.is_frozen()
    with pytest.raises(AttributeError, match="frozen"):
        cfg.SOLVER.GAMMA = 0.5
    with pytest.raises(AttributeError, match="frozen"):
        cfg.merge_from_list(["SOLVER.GAMMA", 0.5])
    cfg.defrost()
    cfg.SOLVER.GAMMA = 0.5


def test_copies_are_independent():
    cfg = get_config()
    for other in (cfg.clone(), copy.deepcopy(cfg), pickle.loads(pickle.dumps(cfg))):
        assert other == cfg
        other.SOLVER.GAMMA = 0.5
    assert cfg.SOLVER.GAMMA == 0.1


def test_a_missing_attribute_is_an_attribute_error():
    assert not hasattr(get_config(), "NOTHING")


@settings(max_examples=20, deadline=None)
@given(st.text(max_size=30), st.lists(st.text(max_size=8), max_size=3))
def test_dumps_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, text: str, names: list[str]
):
    cfg = get_config()
    cfg.OUTPUT_DIR = text
    cfg.MODEL.CLASS_NAMES = names
    path: Path = tmp_path_factory.mktemp("dump") / "config.yaml"
    path.write_text(cfg.dump(), encoding="utf-8")

    again = get_config()
    again.merge_from_file(path)

    assert again == cfg


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{1: 2}", id="dict"),
        pytest.param("b'x'", id="bytes"),
        pytest.param("1j", id="complex"),
        pytest.param("(" * 5000, id="deep"),
        pytest.param("\\d", id="escape"),
        pytest.param("1" * 200_000, id="long"),
        pytest.param("__import__('os')", id="call"),
    ],
)
def test_other_text_stays_text(text: str):
    assert decode(text) == text
