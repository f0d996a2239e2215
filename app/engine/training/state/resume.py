"""Resumes a run, perhaps with changed settings.

A changed setting applies from there on, or a warning says that it is ignored.
"""

import logging
from typing import Any

from app.engine.config import CfgNode
from app.engine.training.request import TrainRequest
from app.engine.training.state.run import BACKOFF, Run
from app.engine.training.state.settings import (
    INITIAL_WEIGHTS,
    Settings,
    changes_between,
    is_another_try,
    is_judged_otherwise,
    tell,
)

logger = logging.getLogger(__name__)


def take_up(run: Run, state: dict[str, Any], settings: Settings, request: TrainRequest) -> None:
    """Adapt the run that was restored from `state` to `request`; log the changed settings."""
    cfg, remedy = request.cfg, f"remove {request.output_dir}"
    changes = changes_between(state.get("settings") or _settings_of_first_release(state), settings)
    if request.initial_weights is None:  # the initial weights are no longer used
        changes.pop(INITIAL_WEIGHTS, None)
    tell(changes, remedy=remedy)
    if run.num_backoffs and is_another_try(changes):
        logger.info("The learning rate is SOLVER.BASE_LR again, and may be halved again")
        run.count_backoffs(0)
    elif run.num_backoffs:
        logger.info(
            "The learning rate is %g times SOLVER.BASE_LR: the run has gone back to a checkpoint "
            "%d times",
            run.rate_factor,
            run.num_backoffs,
        )
    if is_judged_otherwise(changes):
        run.best_metric, run.best_iteration = None, 0
        run.patience_used = run.evaluated_at = 0
    if cfg.SEED not in (-1, run.seed):
        logger.warning(
            "SEED %d is not taken: the run goes on with the order of images of SEED %d, with which "
            "it began; %s to begin with another",
            cfg.SEED,
            run.seed,
            remedy,
        )
    logger.info("Resuming from %s after iteration %d", request.output_dir, run.iteration)
    if run.iteration >= run.plan.max_iter:
        logger.warning("Nothing is left to train; %s to train anew", remedy)


def config_as_used(cfg: CfgNode, run: Run) -> CfgNode:
    """Return the config for a saved model, with the actual learning rates, length and seed."""
    return cfg.with_values(
        {
            "SOLVER.BASE_LR": cfg.SOLVER.BASE_LR * run.rate_factor,
            "SOLVER.BASE_LR_END": cfg.SOLVER.BASE_LR_END * run.rate_factor,
            "SEED": run.seed if cfg.SEED >= 0 else cfg.SEED,
            **run.plan.lengths(),
        }
    )


def _settings_of_first_release(state: dict[str, Any]) -> Settings:
    """Return the batch size and the learning rate, the only settings in such checkpoints."""
    settings = {"SOLVER.IMS_PER_BATCH": str(state["identity"]["ims_per_batch"])}
    rates = {float(lr) for lr in state["schedule"]["base_lrs"]}
    if len(rates) == 1:
        halved = BACKOFF ** int(state["counters"]["num_backoffs"])
        settings["SOLVER.BASE_LR"] = str(rates.pop() / halved)
    return settings
