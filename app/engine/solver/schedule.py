"""Learning rates over a run: a warm-up, then steps or a cosine, as multipliers of the base rate.

`where` is the finished share of the run, iteration / max_iter.
"""

import logging
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch.optim import Optimizer

from app.engine.config import CfgNode
from app.engine.errors import ConfigError

logger = logging.getLogger(__name__)

Curve = Callable[[float], float]
"""`where` in [0, 1] -> multiplier."""

MIN_WARMUP = 100
"""Least iterations of the warm-up in a rescaled schedule, or a tenth of the run if that is less."""

_EPSILON = 1e-6  # as in fvcore: rounding errors must not delay a milestone by one iteration


class Schedule:
    """Sets every group's learning rate for the coming iteration: its base rate times the curve.

    base_lrs   each group's rate at multiplier 1, which the optimiser was built with
    factor     multiplies all base rates; below 1 after a run has gone back to a checkpoint
    iteration  number of finished iterations
    max_iter   number of iterations after which the curve ends
    """

    def __init__(self, optimizer: Optimizer, curve: Curve, *, max_iter: int) -> None:
        self.optimizer = optimizer
        self.curve = curve
        self.max_iter = max_iter
        self._bend = (0, 0.0)  # iteration from which `max_iter` holds, and the share at it
        self.base_lrs: list[float] = [group["lr"] for group in optimizer.param_groups]
        self.factor = 1.0
        self.iteration = 0
        self._apply()

    @property
    def share(self) -> float:
        """How much of the curve is done, from 0 to 1."""
        start, share = self._bend
        left = max(self.max_iter - start, 1)
        return min(share + (1 - share) * (self.iteration - start) / left, 1.0)

    def aim(self, max_iter: int, curve: Curve, *, share: float | None = None) -> None:
        """From here on, run through the rest of the curve up to `max_iter`.

        share  how much of the curve is done; None: as much as now
        """
        self._bend = (self.iteration, self.share if share is None else share)
        self.max_iter, self.curve = max_iter, curve
        self._apply()

    def step(self) -> None:
        """Count one more finished iteration."""
        self.iteration += 1
        self._apply()

    def state_dict(self) -> dict[str, Any]:
        """The state with the keys of detectron2's checkpoints."""
        rates = [lr * self.factor for lr in self.base_lrs]
        return {"base_lrs": rates, "last_epoch": self.iteration}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set the iteration of `state`; the base rates of this schedule are kept."""
        self.iteration = int(state["last_epoch"])
        self._apply()

    def scale(self, factor: float) -> None:
        """Use the base rates times `factor` from now on."""
        self.factor = factor
        self._apply()

    def _apply(self) -> None:
        multiplier = self.curve(self.share)
        for group, lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = lr * self.factor * multiplier


def build_schedule(cfg: CfgNode, optimizer: Optimizer) -> Schedule:
    """Build the schedule of `cfg.SOLVER` for `optimizer`, at iteration 0."""
    if cfg.SOLVER.MAX_ITER < 1:
        raise ConfigError(
            f"SOLVER.MAX_ITER is {cfg.SOLVER.MAX_ITER}; train for 1 iteration or more"
        )
    return Schedule(optimizer, build_curve(cfg), max_iter=cfg.SOLVER.MAX_ITER)


def build_curve(cfg: CfgNode) -> Curve:
    """Build the curve of `cfg.SOLVER`, including the warm-up."""
    solver = cfg.SOLVER
    if solver.LR_SCHEDULER_NAME == "WarmupMultiStepLR":
        main = partial(
            multi_step, milestones=_milestones(cfg), gamma=solver.GAMMA, max_iter=solver.MAX_ITER
        )
    elif solver.LR_SCHEDULER_NAME == "WarmupCosineLR":
        if not 0 <= solver.BASE_LR_END <= solver.BASE_LR:
            raise ConfigError(
                f"SOLVER.BASE_LR_END is {solver.BASE_LR_END}; give a rate between 0 and "
                f"SOLVER.BASE_LR, {solver.BASE_LR}"
            )
        main = partial(cosine, end=solver.BASE_LR_END / (solver.BASE_LR or 1.0))
    else:
        main = partial(fixed_gamma, gamma=solver.GAMMA, num_decays=solver.NUM_DECAYS)
    return partial(
        warm_up,
        main=main,
        factor=solver.WARMUP_FACTOR,
        length=min(solver.WARMUP_ITERS / solver.MAX_ITER, 1.0),
        linear=solver.WARMUP_METHOD == "linear",
        rescale=solver.RESCALE_INTERVAL,
    )


def multi_step(where: float, *, milestones: Sequence[int], gamma: float, max_iter: int) -> float:
    """`gamma` to the power of the number of milestones (ascending iterations) reached."""
    return float(gamma ** bisect_right(milestones, int((where + _EPSILON) * max_iter)))


def cosine(where: float, *, end: float) -> float:
    """Half a cosine wave from 1 down to `end`."""
    return end + (1 - end) / 2 * (1 + math.cos(math.pi * where))


def fixed_gamma(where: float, *, gamma: float, num_decays: int) -> float:
    """Constant on `num_decays` + 1 equally long parts; each is `gamma` times the previous one."""
    piece = int((where + _EPSILON) * (num_decays + 1))
    return float(gamma ** min(piece, num_decays))


def warm_up(
    where: float, *, main: Curve, factor: float, length: float, linear: bool, rescale: bool
) -> float:
    """`main` after a warm-up of `length` (a share of the run) from `factor` times `main(0)`.

    linear   whether the warm-up rises linearly to the value of `main` at its end, or is constant
    rescale  whether `main` starts at its beginning after the warm-up, instead of at `length`
    """
    if where + _EPSILON > length:
        return main((where - length) / (1 - length) if rescale and length < 1 else where)
    start = factor * main(0.0)
    if not linear:
        return start
    end = main(0.0 if rescale else length)
    share = where / length
    return end * share + start * (1 - share)


def rescale_schedule(cfg: CfgNode, max_iter: int) -> None:
    """Set `SOLVER.MAX_ITER` and scale the decay steps and the warm-up in proportion.

    The warm-up does not get shorter than `MIN_WARMUP`, and not longer than it was.
    """
    solver = cfg.SOLVER
    scale = max_iter / solver.MAX_ITER
    floor = min(MIN_WARMUP, max_iter // 10)
    solver.STEPS = tuple(round(step * scale) for step in solver.STEPS)
    solver.WARMUP_ITERS = min(solver.WARMUP_ITERS, max(round(solver.WARMUP_ITERS * scale), floor))
    solver.MAX_ITER = max_iter


def curve_over(cfg: CfgNode, max_iter: int) -> Curve:
    """Build the curve of `cfg.SOLVER` as it is when rescaled to `max_iter` iterations."""
    return build_curve(rescaled(cfg, max_iter))


def rescaled(cfg: CfgNode, max_iter: int) -> CfgNode:
    """Return a copy of `cfg` whose schedule is rescaled to `max_iter` iterations."""
    copy = cfg.clone()
    copy.defrost()
    rescale_schedule(copy, max_iter)
    copy.freeze()
    return copy


def auto_scale(cfg: CfgNode, world_size: int) -> CfgNode:
    """Scale the config to `world_size` GPUs if `SOLVER.REFERENCE_WORLD_SIZE` is another number.

    Batch size and learning rate are multiplied by the ratio; numbers of iterations are divided.
    """
    reference = cfg.SOLVER.REFERENCE_WORLD_SIZE
    if reference in (0, world_size):
        return cfg
    if reference < 0 or cfg.SOLVER.IMS_PER_BATCH % reference:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH {cfg.SOLVER.IMS_PER_BATCH} cannot be split evenly over "
            f"SOLVER.REFERENCE_WORLD_SIZE {reference}; correct one of them"
        )
    scale = world_size / reference
    scaled = cfg.clone()
    scaled.defrost()
    solver = scaled.SOLVER
    solver.IMS_PER_BATCH = round(solver.IMS_PER_BATCH * scale)
    solver.BASE_LR *= scale
    solver.STEPS = tuple(round(step / scale) for step in solver.STEPS)
    for section, key in (
        (solver, "MAX_ITER"),
        (solver, "WARMUP_ITERS"),
        (solver, "CHECKPOINT_PERIOD"),
        (scaled.TEST, "EVAL_PERIOD"),
    ):
        section[key] = round(section[key] / scale)
    solver.REFERENCE_WORLD_SIZE = world_size
    logger.info(
        "Auto-scaling the config to batch_size=%d, learning_rate=%g, max_iter=%d, warmup=%d.",
        solver.IMS_PER_BATCH,
        solver.BASE_LR,
        solver.MAX_ITER,
        solver.WARMUP_ITERS,
    )
    if cfg.is_frozen():
        scaled.freeze()
    return scaled


def _milestones(cfg: CfgNode) -> list[int]:
    steps, max_iter = cfg.SOLVER.STEPS, cfg.SOLVER.MAX_ITER
    kept = sorted(step for step in steps if step <= max_iter)
    if len(kept) != len(steps):
        logger.warning(
            "SOLVER.STEPS contains values larger than SOLVER.MAX_ITER (%d): %s. "
            "The learning rate will not decay there.",
            max_iter,
            ", ".join(str(step) for step in steps if step > max_iter),
        )
    return kept
