"""Converts a run to the state that a checkpoint holds, and back."""

import logging
from collections.abc import Sequence
from typing import Any

from app.engine.data.loading.damaged import Met
from app.engine.data.loading.loader import UNREADABLE
from app.engine.solver import load_optimizer_state
from app.engine.training.process.rng import rng_state, seed_all, set_rng_state
from app.engine.training.state.identity import FORMAT
from app.engine.training.state.run import Run
from app.engine.training.state.settings import Settings

logger = logging.getLogger(__name__)

_COUNTERS = (
    *("seed", "iteration", "images", "best_metric", "best_iteration"),
    *("patience_used", "evaluated_at", "num_backoffs", "metrics", "class_results"),
)


def process_state(run: Run) -> dict[str, Any]:
    """Return the part of the state that differs between the processes of a run."""
    return {
        "rng": rng_state(),
        "training_state": run.model.training_state(),
        "damaged": run.damaged.met(),
    }


def run_state(
    run: Run,
    processes: Sequence[dict[str, Any]],
    identity: dict[str, Any],
    settings: Settings,
) -> dict[str, Any]:
    """Return the whole state of a run, from which it resumes: tensors, numbers, text, lists.

    processes  `process_state` of every process, by rank
    identity   the values that `check_same_model` compares
    settings   the current settings of the run
    """
    return {
        "format": FORMAT,
        "identity": identity,
        "settings": dict(settings),
        "losses": run.losses.state_dict(),
        "model": run.model.state_dict(),
        "ema": None if run.ema is None else run.ema.state_dict(),
        "optimizer": run.stepper.optimizer.state_dict(),
        "schedule": run.schedule.state_dict(),
        "plan": run.plan.state_dict(),
        "scaler": run.stepper.scaler.state_dict(),
        "counters": {name: getattr(run, name) for name in _COUNTERS},
        "processes": list(processes),
    }


def load_run_state(run: Run, state: dict[str, Any], *, rank: int, world_size: int) -> None:
    """Restore the run from `state`, but keep the settings of `run`."""
    run.model.load_state_dict(state["model"])
    if run.ema is not None:
        if state["ema"] is None:
            logger.warning("the checkpoint has no moving average: it starts from its weights")
            run.ema.restart(run.model)
        else:
            run.ema.load_state_dict(state["ema"])
    load_optimizer_state(run.stepper.optimizer, state["optimizer"])
    if run.stepper.scaler.is_enabled() and state["scaler"]:
        run.stepper.scaler.load_state_dict(state["scaler"])
    for name in _COUNTERS:
        if name in state["counters"]:  # old checkpoints have no class_results
            setattr(run, name, state["counters"][name])
    run.schedule.load_state_dict(state["schedule"])
    run.schedule.scale(run.rate_factor)
    run.plan.load_state_dict(state.get("plan"))
    run.losses.load_state_dict(state.get("losses"))
    processes = state["processes"]
    for process in processes:
        run.damaged.restore(_met(process))
    if len(processes) == world_size:
        run.model.load_training_state(processes[rank]["training_state"])
        set_rng_state(processes[rank]["rng"])
        return
    logger.info("resuming with %d processes, not %d", world_size, len(processes))
    run.model.load_training_state(processes[0]["training_state"])
    seed_all(run.seed + run.iteration + rank)


def _met(process: dict[str, Any]) -> Met:
    """Return a process's damaged images; old checkpoints have a list of the unreadable ones."""
    met = process.get("damaged", [])
    return {UNREADABLE: met} if isinstance(met, list) else met
