"""`args_options`: which texts are accepted, and which are refused with a remedy."""

import pytest

from app.tasks.args_options import (
    OWNED_KEYS,
    EngineOptions,
    inspect_args_options,
    parse_args_options,
)
from executor.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", EngineOptions(), id="empty"),
        pytest.param("--resume", EngineOptions(resume=True), id="resume alone"),
        pytest.param(
            "SOLVER.GAMMA 0.5 --resume",
            EngineOptions(True, ("SOLVER.GAMMA", "0.5")),
            id="resume after a pair",
        ),
        pytest.param(
            "--opts SOLVER.GAMMA 0.5",
            EngineOptions(False, ("SOLVER.GAMMA", "0.5")),
            id="older forks write --opts",
        ),
        pytest.param(
            'SOLVER.STEPS "(10, 20)"',
            EngineOptions(False, ("SOLVER.STEPS", "(10, 20)")),
            id="quoted tuple",
        ),
        pytest.param(
            "SOLVER.STEPS (10, 20) SOLVER.GAMMA 0.5",
            EngineOptions(False, ("SOLVER.STEPS", "(10, 20)", "SOLVER.GAMMA", "0.5")),
            id="blank in a tuple",
        ),
        pytest.param(
            "SOLVER.GAMMA=0.5",
            EngineOptions(False, ("SOLVER.GAMMA", "0.5")),
            id="equals sign",
        ),
        pytest.param(
            "MODEL.WEIGHTS /weights/a=b.pth",
            EngineOptions(False, ("MODEL.WEIGHTS", "/weights/a=b.pth")),
            id="equals sign inside a value",
        ),
    ],
)
def test_understood(text: str, expected: EngineOptions) -> None:
    assert parse_args_options(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("--num-gpus 4", "gpu_id decides", id="launcher flag"),
        pytest.param("--config-file=x.yaml", "set config_file instead", id="flag with a value"),
        pytest.param("--frobnicate", "only --resume and KEY VALUE", id="unknown flag"),
        pytest.param("SOLVER.GAMMA", "has no value", id="key without value"),
        pytest.param("lr=0.1", "write learning_rate", id="another trainer's word"),
        pytest.param("--epochs 10", "write max_iter", id="another trainer's flag"),
        pytest.param("SOLVER.GAMMA 0.1 SOLVER.GAMMA 0.5", "written twice", id="twice"),
        pytest.param("SOLVER.GAMMA '0.5", "check the quotes", id="open quote"),
    ],
)
def test_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_args_options(text)


@pytest.mark.parametrize("key", sorted(OWNED_KEYS))
def test_keys_that_others_decide_are_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=OWNED_KEYS[key]):
        parse_args_options(f"{key} 1")


def test_everything_wrong_is_named_at_once() -> None:
    text = "--num-gpus 4 SEED 1 SOLVER.GAMMA SOLVER.STEPS (10,20) epochs=3 --frobnicate"
    options, faults = inspect_args_options(text)
    assert options.overrides == ("SOLVER.STEPS", "(10,20)")
    assert [fault.key for fault in faults] == [
        *("--num-gpus", "--frobnicate", "SOLVER.GAMMA", "SEED", "epochs")
    ]
