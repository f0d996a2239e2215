import math

import pytest
import torch
from torch import nn

from app.engine.config import CfgNode, get_config
from app.engine.errors import ConfigError
from app.engine.solver import auto_scale, build_optimizer, build_schedule, rescale_schedule


def solver_config(**settings: object) -> CfgNode:
    cfg = get_config()
    for key, value in settings.items():
        cfg.merge_from_list([f"SOLVER.{key}", value])
    return cfg


def rates(cfg: CfgNode, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=cfg.SOLVER.BASE_LR)
    schedule = build_schedule(cfg, optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    return found


SHORT = {"BASE_LR": 5.0, "MAX_ITER": 30, "WARMUP_ITERS": 5, "WARMUP_FACTOR": 0.001}


def test_multi_step_has_the_published_rates():
    found = rates(solver_config(**SHORT, STEPS=(10, 15, 20)), 31)

    assert found[:5] == pytest.approx([0.005, 1.004, 2.003, 3.002, 4.001])
    assert found[5:10] == pytest.approx([5.0] * 5)
    assert found[10:15] == pytest.approx([0.5] * 5)
    assert found[15:20] == pytest.approx([0.05] * 5)
    assert found[20:] == pytest.approx([0.005] * 11)


def test_cosine_has_the_published_rates():
    cfg = solver_config(**SHORT, LR_SCHEDULER_NAME="WarmupCosineLR")

    found = rates(cfg, 31)

    assert found[0] == pytest.approx(0.005)
    for iteration in range(31):
        expected = 2.5 * (1 + math.cos(math.pi * iteration / 30))
        assert (found[iteration] == pytest.approx(expected)) == (iteration >= 5)


@pytest.mark.parametrize("end", [0.0, 0.5])
def test_cosine_ends_at_base_lr_end(end):
    cfg = solver_config(
        LR_SCHEDULER_NAME="WarmupCosineLR",
        MAX_ITER=100,
        WARMUP_ITERS=10,
        WARMUP_FACTOR=0.1,
        BASE_LR=5.0,
        BASE_LR_END=end,
    )
    found = rates(cfg, 101)

    assert found[0] == pytest.approx(0.5)
    assert found[-1] == pytest.approx(end)


def test_fixed_gamma_has_the_published_rates():
    cfg = solver_config(
        **SHORT, LR_SCHEDULER_NAME="WarmupStepWithFixedGammaLR", NUM_DECAYS=4, RESCALE_INTERVAL=True
    )
    found = rates(cfg, 31)

    assert found[:5] == pytest.approx([0.005, 1.004, 2.003, 3.002, 4.001])
    for piece in range(5):
        assert found[5 + 5 * piece : 10 + 5 * piece] == pytest.approx([5.0 * 0.1**piece] * 5)


def test_constant_warm_up_stays_at_its_factor():
    assert rates(solver_config(**SHORT, WARMUP_METHOD="constant"), 6) == pytest.approx(
        [0.005] * 5 + [5.0]
    )


def test_warm_up_may_be_as_long_as_the_run():
    cfg = solver_config(BASE_LR=1.0, MAX_ITER=10, WARMUP_ITERS=1000, STEPS=())

    assert rates(cfg, 10)[5] == pytest.approx(0.5, abs=0.01)


def test_milestones_past_the_end_are_dropped_with_a_warning(caplog):
    found = rates(solver_config(**SHORT, STEPS=(10, 4000)), 31)

    assert found[-1] == pytest.approx(0.5)
    assert "4000" in caplog.text


def test_a_schedule_goes_on_from_its_state():
    cfg = solver_config(**SHORT, STEPS=(10, 15, 20))
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=5.0)
    first = build_schedule(cfg, optimizer)
    for _ in range(12):
        first.step()
    assert first.state_dict() == {"base_lrs": [5.0], "last_epoch": 12}

    again = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=5.0)
    build_schedule(cfg, again).load_state_dict(first.state_dict())

    assert again.param_groups[0]["lr"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("settings", "factor", "rate"),
    [
        pytest.param({}, 1.0, 0.5, id="nothing"),
        pytest.param({"BASE_LR": 2.0}, 1.0, 0.2, id="the rate"),
        pytest.param({"STEPS": (20,)}, 1.0, 5.0, id="the steps"),
        pytest.param({"GAMMA": 0.5}, 1.0, 2.5, id="gamma"),
        pytest.param({"MAX_ITER": 60, "WARMUP_ITERS": 24}, 1.0, 0.2525, id="length and warm-up"),
        pytest.param({"LR_SCHEDULER_NAME": "WarmupCosineLR"}, 1.0, 3.2725, id="the curve"),
        pytest.param({}, 0.25, 0.125, id="a run that has gone back twice"),
        pytest.param({"BASE_LR": 2.0}, 0.5, 0.1, id="gone back, and the rate"),
    ],
)
def test_a_schedule_that_goes_on_follows_its_own_settings(settings, factor, rate):
    published = {**SHORT, "STEPS": (10,)}
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=5.0)
    first = build_schedule(solver_config(**published), optimizer)
    for _ in range(12):
        first.step()

    cfg = solver_config(**{**published, **settings})
    again = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=cfg.SOLVER.BASE_LR)
    schedule = build_schedule(cfg, again)
    schedule.load_state_dict(first.state_dict())
    schedule.scale(factor)

    assert again.param_groups[0]["lr"] == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize(
    ("max_iter", "steps", "warmup"),
    [
        pytest.param(90000, (60000, 80000), 1000, id="unchanged"),
        pytest.param(9000, (6000, 8000), 100, id="a tenth"),
        pytest.param(300, (200, 267), 30, id="short: a tenth of the run"),
        pytest.param(1, (1, 1), 0, id="one iteration"),
        pytest.param(270000, (180000, 240000), 1000, id="longer keeps the warm-up"),
    ],
)
def test_rescaling_moves_steps_and_warm_up(max_iter, steps, warmup):
    cfg = solver_config(MAX_ITER=90000, STEPS=(60000, 80000), WARMUP_ITERS=1000)

    rescale_schedule(cfg, max_iter)

    assert (max_iter, steps) == (cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS)
    assert warmup == cfg.SOLVER.WARMUP_ITERS
    assert rates(cfg, 1)[0] > 0


def test_auto_scale_follows_the_number_of_gpus():
    cfg = solver_config(
        IMS_PER_BATCH=16,
        BASE_LR=0.1,
        REFERENCE_WORLD_SIZE=8,
        MAX_ITER=5000,
        STEPS=(4000,),
        CHECKPOINT_PERIOD=1000,
    )
    cfg.freeze()

    scaled = auto_scale(cfg, 16)

    assert scaled.SOLVER.IMS_PER_BATCH == 32
    assert scaled.SOLVER.BASE_LR == 0.2
    assert (scaled.SOLVER.MAX_ITER, scaled.SOLVER.STEPS) == (2500, (2000,))
    assert scaled.SOLVER.CHECKPOINT_PERIOD == 500
    assert scaled.SOLVER.REFERENCE_WORLD_SIZE == 16
    assert scaled.is_frozen()
    assert cfg.SOLVER.IMS_PER_BATCH == 16
    assert auto_scale(cfg, 8) is cfg


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        pytest.param({"MAX_ITER": 0}, "MAX_ITER", id="no iteration"),
        pytest.param(
            {"LR_SCHEDULER_NAME": "WarmupCosineLR", "BASE_LR_END": 1.0},
            "BASE_LR_END",
            id="the end above the start",
        ),
    ],
)
def test_a_wrong_schedule_is_named(settings, named):
    with pytest.raises(ConfigError, match=named):
        rates(solver_config(**settings), 1)


def test_uneven_reference_world_size_is_named():
    with pytest.raises(ConfigError, match="REFERENCE_WORLD_SIZE"):
        auto_scale(solver_config(REFERENCE_WORLD_SIZE=3), 2)


def test_each_group_keeps_its_share_of_the_rate():
    cfg = solver_config(**SHORT, BIAS_LR_FACTOR=2.0, STEPS=(10,))
    optimizer = build_optimizer(cfg, nn.Linear(2, 2))
    schedule = build_schedule(cfg, optimizer)
    for _ in range(10):
        schedule.step()

    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.5, 1.0])
