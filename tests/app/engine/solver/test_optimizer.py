from typing import Any

import pytest
import torch
from torch import nn

from app.engine.config import get_config
from app.engine.errors import ConfigError
from app.engine.layers.norm import LayerNorm
from app.engine.solver import build_optimizer, load_optimizer_state


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.conv = nn.Conv2d(1, 2, 1)
        self.norm = nn.GroupNorm(1, 2)
        self.layer_norm = LayerNorm(2)
        self.shared = self.conv


def test_norms_do_not_decay_and_everything_is_there_once():
    model = Tiny()
    optimizer = build_optimizer(get_config(), model)

    decay = {p: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}

    assert len(optimizer.param_groups) == 2
    assert len(decay) == 6
    assert decay[model.norm.weight] == decay[model.norm.bias] == 0.0
    assert decay[model.layer_norm.weight] == 0.0001
    assert decay[model.conv.bias] == 0.0001


def test_biases_take_their_own_rate_and_decay():
    cfg = get_config()
    cfg.SOLVER.BIAS_LR_FACTOR = 2.0
    cfg.SOLVER.WEIGHT_DECAY_BIAS = 0.5
    model = Tiny()

    groups = build_optimizer(cfg, model).param_groups

    by_parameter = {p: (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert by_parameter[model.conv.weight] == (0.001, 0.0001)
    assert by_parameter[model.conv.bias] == (0.002, 0.5)
    assert by_parameter[model.norm.bias] == (0.002, 0.5)


def step_with_gradients(kind: str) -> list[torch.Tensor]:
    cfg = get_config()
    cfg.merge_from_list(
        [
            *("SOLVER.CLIP_GRADIENTS.ENABLED", True),
            *("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", kind),
            *("SOLVER.CLIP_GRADIENTS.CLIP_VALUE", 1.0),
            *("SOLVER.BASE_LR", 1.0),
            *("SOLVER.WEIGHT_DECAY", 0.0),
        ]
    )
    model = nn.ParameterList([torch.zeros(2), torch.zeros(1)])
    optimizer = build_optimizer(cfg, model)
    model[0].grad = torch.tensor([3.0, 4.0])
    model[1].grad = torch.tensor([-12.0])
    optimizer.step()
    return [-p.detach() for p in model]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param("value", [[1.0, 1.0], [-1.0]], id="each element"),
        pytest.param("norm", [[0.6, 0.8], [-1.0]], id="each parameter"),
        pytest.param("full_model", [[3 / 13, 4 / 13], [-12 / 13]], id="all together"),
    ],
)
def test_gradients_are_clipped_inside_the_step(kind, expected):
    for moved, wanted in zip(step_with_gradients(kind), expected, strict=True):
        assert moved.tolist() == pytest.approx(wanted, abs=1e-5)


def test_adamw_and_nesterov_are_built():
    cfg = get_config()
    cfg.SOLVER.NESTEROV = True
    assert build_optimizer(cfg, nn.Linear(1, 1)).defaults["nesterov"]
    cfg.SOLVER.OPTIMIZER = "ADAMW"
    assert isinstance(build_optimizer(cfg, nn.Linear(1, 1)), torch.optim.AdamW)


@pytest.mark.parametrize(
    ("overrides", "model", "named"),
    [
        pytest.param([], nn.ReLU(), "FREEZE_AT", id="nothing to train"),
        pytest.param(
            ["SOLVER.NESTEROV", True, "SOLVER.MOMENTUM", 0.0],
            nn.Linear(1, 1),
            "MOMENTUM",
            id="nesterov without momentum",
        ),
        pytest.param(
            ["SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE", 0.0],
            nn.Linear(1, 1),
            "CLIP_VALUE",
            id="clipping to nothing",
        ),
    ],
)
def test_what_cannot_work_is_named(overrides, model, named):
    cfg = get_config()
    cfg.merge_from_list(overrides)

    with pytest.raises(ConfigError, match=named):
        build_optimizer(cfg, model)


def stepped(model: nn.Module, *overrides: Any) -> torch.optim.Optimizer:
    """The optimiser of a config after two steps."""
    cfg = get_config()
    cfg.merge_from_list([*overrides])
    optimizer = build_optimizer(cfg, model)
    for _ in range(2):
        for number, parameter in enumerate(model.parameters(), start=1):
            parameter.grad = torch.full_like(parameter, float(number))
        optimizer.step()
    return optimizer


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))


def known(optimizer: torch.optim.Optimizer, model: nn.Module) -> list[list[torch.Tensor | None]]:
    """What is kept of each parameter's gradients, in the order of the model."""
    rows = [optimizer.state.get(parameter, {}) for parameter in model.parameters()]
    return [[row.get(key) for key in ("momentum_buffer", "exp_avg", "exp_avg_sq")] for row in rows]


ADAMW = ("SOLVER.OPTIMIZER", "ADAMW")


@pytest.mark.parametrize(
    ("before", "after", "is_kept"),
    [
        pytest.param([], [], True, id="SGD, unchanged"),
        pytest.param(ADAMW, ADAMW, True, id="AdamW, unchanged"),
        pytest.param([], ["SOLVER.BASE_LR", 0.5], True, id="rate"),
        pytest.param([], ["SOLVER.WEIGHT_DECAY", 0.5], True, id="decay"),
        pytest.param([], ["SOLVER.MOMENTUM", 0.5], True, id="momentum"),
        pytest.param(
            ["SOLVER.MOMENTUM", 0.0], ["SOLVER.MOMENTUM", 0.5], True, id="from no momentum"
        ),
        pytest.param([], ["SOLVER.MOMENTUM", 0.0], True, id="to no momentum"),
        pytest.param([], ["SOLVER.NESTEROV", True], True, id="nesterov"),
        pytest.param([], ["SOLVER.WEIGHT_DECAY_NORM", 0.5], True, id="a group more"),
        pytest.param(
            [], ["SOLVER.WEIGHT_DECAY_NORM", 0.0001], True, id="a group less, in another order"
        ),
        pytest.param([], ["SOLVER.BIAS_LR_FACTOR", 2.0], True, id="rates of biases"),
        pytest.param([], ADAMW, False, id="SGD to AdamW"),
        pytest.param(ADAMW, [], False, id="AdamW to SGD"),
    ],
)
def test_what_goes_on_follows_its_own_settings(before, after, is_kept, caplog):
    torch.manual_seed(0)
    model, other = net(), net()
    first = stepped(model, *before)
    state = first.state_dict()
    cfg = get_config()
    cfg.merge_from_list([*after])
    again, fresh = build_optimizer(cfg, other), build_optimizer(cfg, other)

    load_optimizer_state(again, state)

    for group, expected in zip(again.param_groups, fresh.param_groups, strict=True):
        assert {**group, "params": 0} == {**expected, "params": 0}
    nothing = [[None] * 3] * 6
    assert str(known(again, other)) == str(known(first, model) if is_kept else nothing)
    assert ("start anew" in caplog.text) == (not is_kept)
    for parameter in other.parameters():
        parameter.grad = torch.ones_like(parameter)
    again.step()


@pytest.mark.parametrize(
    ("after", "is_kept"),
    [
        pytest.param([], True, id="the same groups"),
        pytest.param(["SOLVER.WEIGHT_DECAY", 0.5], True, id="the same groups, another decay"),
        pytest.param(["SOLVER.BIAS_LR_FACTOR", 2.0], False, id="other groups"),
    ],
)
def test_a_state_of_the_first_release_names_no_parameters(after, is_kept, caplog):
    torch.manual_seed(0)
    model, other = net(), net()
    first = stepped(model)
    state = first.state_dict()
    for group in state["param_groups"]:
        del group["param_names"]
    cfg = get_config()
    cfg.merge_from_list(after)
    again = build_optimizer(cfg, other)

    load_optimizer_state(again, state)

    nothing = [[None] * 3] * 6
    assert str(known(again, other)) == str(known(first, model) if is_kept else nothing)
    assert ("start anew" in caplog.text) == (not is_kept)
