"""Everything that changes while a model is trained, and how it is saved and taken up again."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.engine.config import NAMES, CfgNode
from app.engine.data.damaged import DamagedImages
from app.engine.errors import CheckpointError
from app.engine.modeling.detector import Detector
from app.engine.solver import Schedule, load_optimizer_state
from app.engine.training.ema import Ema
from app.engine.training.loss_record import LossRecord
from app.engine.training.rng import rng_state, seed_all, set_rng_state
from app.engine.training.settings import Settings, changes_between
from app.engine.training.step import Stepper

logger = logging.getLogger(__name__)

FORMAT = 1
"""Raised whenever older programs could misread what is saved."""

BACKOFF = 0.5
"""Factor on the learning rate each time that a run falls back to its last checkpoint."""


@dataclass(slots=True)
class Run:
    """A training run between two iterations.

    ims_per_batch  images of one iteration, over all processes
    iteration    finished iterations
    images       images used by them
    best_metric  highest value of TEST.METRIC so far, and at which iteration; None: none yet
    patience_used  evaluations since then
    evaluated_at iteration of the latest evaluation
    num_backoffs how often the run fell back to a checkpoint with half the learning rate
    losses       of the beginning and of the latest iterations
    damaged      training images that could not be read, or only in part; in this process
    """

    model: Detector
    stepper: Stepper
    schedule: Schedule
    ema: Ema | None
    seed: int
    ims_per_batch: int
    losses: LossRecord
    damaged: DamagedImages
    iteration: int = 0
    images: int = 0
    best_metric: float | None = None
    best_iteration: int = 0
    patience_used: int = 0
    evaluated_at: int = 0
    num_backoffs: int = 0
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def best_model(self) -> Detector:
        """The model to evaluate and keep: the average where there is one."""
        if self.ema is None:
            return self.model
        averaged = self.ema.model
        assert isinstance(averaged, Detector)
        return averaged

    @property
    def rate_factor(self) -> float:
        """Of all learning rates, after so many returns to a checkpoint."""
        return BACKOFF**self.num_backoffs

    def count_backoffs(self, number: int) -> None:
        """Go on as a run that has gone back to a checkpoint so often."""
        self.num_backoffs = number
        self.schedule.scale(self.rate_factor)

    def count_iteration(self) -> None:
        """One more iteration is finished."""
        self.iteration += 1
        self.images += self.ims_per_batch

    def accept(self, metric: float) -> bool:
        """Note an evaluation's metric (higher is better); whether it is the best so far."""
        if self.best_metric is not None and not metric > self.best_metric:
            self.patience_used += 1
            return False
        self.best_metric, self.best_iteration, self.patience_used = metric, self.iteration, 0
        return True


_COUNTERS = (
    *("seed", "iteration", "images", "best_metric", "best_iteration"),
    *("patience_used", "evaluated_at", "num_backoffs", "metrics"),
)


def process_state(run: Run) -> dict[str, Any]:
    """What differs between the processes of a run."""
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
    """Everything needed to go on as if nothing had happened: tensors, numbers, text, lists.

    processes  `process_state` of every process, by rank
    identity   what `check_same_model` compares
    settings   those that the run has now
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
        "scaler": run.stepper.scaler.state_dict(),
        "counters": {name: getattr(run, name) for name in _COUNTERS},
        "processes": list(processes),
    }


def load_run_state(run: Run, state: dict[str, Any], *, rank: int, world_size: int) -> None:
    """Go on where `state` was taken, with the settings of `run`."""
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
        setattr(run, name, state["counters"][name])
    run.schedule.load_state_dict(state["schedule"])
    run.schedule.scale(run.rate_factor)
    run.losses.load_state_dict(state.get("losses"))
    processes = state["processes"]
    for process in processes:
        run.damaged.restore(process.get("damaged", {}))
    if len(processes) == world_size:
        run.model.load_training_state(processes[rank]["training_state"])
        set_rng_state(processes[rank]["rng"])
        return
    logger.info("resuming with %d processes, not %d", world_size, len(processes))
    run.model.load_training_state(processes[0]["training_state"])
    seed_all(run.seed + run.iteration + rank)


def identity(cfg: CfgNode, class_names: Sequence[str]) -> dict[str, Any]:
    """What must not change between an interrupted run and its continuation."""
    model = json.loads(json.dumps(cfg.MODEL, default=str))
    for key in ("DEVICE", "WEIGHTS", *NAMES):
        model.pop(key, None)
    digest = hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest()
    return {
        "model": digest,
        "class_names": list(class_names),
        "image_format": str(cfg.INPUT.FORMAT),
        "ims_per_batch": int(cfg.SOLVER.IMS_PER_BATCH),  # may change; the first release asks for it
    }


def check_same_model(
    state: dict[str, Any], mine: dict[str, Any], settings: Settings, *, source: str
) -> None:
    """Raise CheckpointError unless `state` belongs to a run like `mine`."""
    if state["format"] != FORMAT:
        raise CheckpointError(
            f"{source} was written by another version (format {state['format']}); "
            "remove it to train anew, or use the version that wrote it"
        )
    saved = state["identity"]
    for key, what in (
        ("model", f"another model{_differences(state, settings)}"),
        ("class_names", f"other classes ({_listed(saved)}, not {_listed(mine)})"),
        ("image_format", f"another INPUT.FORMAT ({saved['image_format']})"),
    ):
        if saved[key] != mine[key]:
            raise CheckpointError(
                f"{source} belongs to a run with {what}; remove it or write elsewhere to train "
                "anew, or use the configuration it was made with"
            )


def _differences(state: dict[str, Any], settings: Settings) -> str:
    """The keys of MODEL whose values differ, with those of `state`."""
    changes = changes_between(state.get("settings"), settings)
    different = [
        f"{key} was {old}"
        for key, (old, _) in changes.items()
        if key.startswith("MODEL.") and key != "MODEL.WEIGHTS"
    ]
    return f" ({', '.join(different)})" if different else ""


def _listed(identity: dict[str, Any]) -> str:
    return ", ".join(identity["class_names"])
