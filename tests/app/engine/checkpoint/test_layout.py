"""Weights are found below the keys and prefixes of other programs."""

import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from app.engine.checkpoint import read_checkpoint
from app.engine.errors import CheckpointError

NAMES = ("backbone.a.weight", "head.b.weight")
PLAIN = {name: torch.zeros(2, 3) for name in NAMES}
AVERAGE = {name: torch.ones(2, 3) for name in NAMES}
OTHERS = {"optimizer": {"state": {0: {"momentum": torch.ones(3)}}}, "epoch": 3}


def read(tmp_path: Path, content: Any) -> Any:
    torch.save(content, tmp_path / "m.pth")
    return read_checkpoint(tmp_path / "m.pth")


def prefixed(prefix: str, weights: dict[str, Any] = PLAIN) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in weights.items()}


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param(prefixed("module."), id="DataParallel"),
        pytest.param(prefixed("_orig_mod."), id="torch.compile"),
        pytest.param(prefixed("model."), id="Lightning"),
        pytest.param(prefixed("module._orig_mod."), id="compiled, then parallel"),
        pytest.param(prefixed("_orig_mod.module."), id="parallel, then compiled"),
        pytest.param(prefixed("model.module._orig_mod."), id="all of them"),
        pytest.param(prefixed("module.module."), id="twice"),
        pytest.param(
            {"backbone._orig_mod.a.weight": PLAIN[NAMES[0]], "head.b.weight": PLAIN[NAMES[1]]},
            id="a part was compiled",
        ),
        pytest.param(prefixed("_fsdp_wrapped_module."), id="FSDP"),
        pytest.param({"n_averaged": torch.tensor(3), **prefixed("module.")}, id="AveragedModel"),
        pytest.param({"steps": torch.tensor(3), **prefixed("module.")}, id="MMEngine's average"),
        pytest.param(
            {**prefixed("model."), "criterion.weight": torch.ones(2)}, id="a loss beside the model"
        ),
        pytest.param(OrderedDict(PLAIN), id="no wrapper"),
    ],
)
def test_prefixes(tmp_path: Path, weights: dict[str, Any]):
    for content in (weights, {"state_dict": weights, **OTHERS}):
        file = read(tmp_path, content)
        assert set(NAMES) <= set(file.model)
        assert "n_averaged" not in file.model


def test_a_real_averaged_model(tmp_path: Path):
    model = nn.Sequential(OrderedDict(body=nn.Linear(2, 2), head=nn.Linear(2, 1)))

    file = read(tmp_path, {"model": AveragedModel(model).state_dict()})

    assert list(file.model) == list(model.state_dict())


@pytest.mark.parametrize(
    ("content", "expected", "told"),
    [
        *(
            pytest.param({key: PLAIN, **OTHERS}, 0, None, id=f"only {key}")
            for key in (
                *("model", "state_dict", "model_state_dict", "model_state", "checkpoint"),
                *("net", "params", "network", "weights", "Model"),
            )
        ),
        *(
            pytest.param({"model": PLAIN, key: AVERAGE, **OTHERS}, 1, key, id=f"model and {key}")
            for key in ("ema", "model_ema", "ema_state_dict", "state_dict_ema", "params_ema")
        ),
        pytest.param({"ema": AVERAGE, **OTHERS}, 1, None, id="only the average"),
        pytest.param(
            {"model": PLAIN, "ema": {"module": AVERAGE, "updates": 9}},
            1,
            "ema.module",
            id="RT-DETR's average",
        ),
        pytest.param(
            {"state_dict": AVERAGE, "ema_state_dict": prefixed("module."), "meta": {}},
            1,
            None,
            id="MMEngine saves the average as the model",
        ),
        pytest.param(
            {"model": PLAIN, "ema": {NAMES[0]: AVERAGE[NAMES[0]]}},
            0,
            "lacks 1 weights",
            id="an average of some weights only",
        ),
        pytest.param({"checkpoint": {"model": PLAIN}}, 0, None, id="two levels"),
        pytest.param({"generator": PLAIN, **OTHERS}, 0, None, id="the only table of weights"),
        pytest.param({"model": PLAIN, "state_dict": AVERAGE}, 0, "state_dict", id="model first"),
        pytest.param({"ema": None, "model": PLAIN}, 0, None, id="no average yet"),
        pytest.param({"rng": torch.ones(5), "model": PLAIN}, 0, None, id="a tensor beside it"),
    ],
)
def test_tables(
    tmp_path: Path,
    content: dict[str, Any],
    expected: int,
    told: str | None,
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO)

    file = read(tmp_path, content)

    assert set(file.model) == set(NAMES)
    assert file.model[NAMES[0]][0, 0] == expected
    assert (told or "") in caplog.text
    assert bool(caplog.records) == bool(told)


def test_several_unknown_tables_are_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"generator, critic"):
        read(tmp_path, {"generator": PLAIN, "critic": PLAIN})


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: {"model": model, "ema": None}])
def test_a_model_saved_as_an_object_is_named(tmp_path: Path, wrap: Any):
    with pytest.raises(CheckpointError, match=r"Detector.*state_dict\(\)"):
        read(tmp_path, wrap(Detector()))
