"""A run is taken up again, perhaps with other settings than it has had so far.

Whatever has changed counts from there on, or a warning says that it is not taken.
"""

import logging
from pathlib import Path
from typing import Any

from app.engine.checkpoint.store import CheckpointStore
from app.engine.config import CfgNode
from app.engine.training.loss_record import LossRecord
from app.engine.training.run import BACKOFF, Run
from app.engine.training.settings import (
    Changes,
    Settings,
    changes_between,
    is_another_try,
    is_judged_otherwise,
    tell,
)

logger = logging.getLogger(__name__)


def find_state(store: CheckpointStore) -> dict[str, Any] | None:
    """The checkpoint that a run would go on from; None: it begins anew.

    Weights of a run whose loss was beyond all sense are removed: nothing comes of them.
    """
    state = store.load()
    if state is None:
        return None
    record = LossRecord(max_iter=1)
    record.load_state_dict(state.get("losses"))
    if not record.was_lost:
        return state
    logger.warning(
        "%s: the run had diverged when its checkpoint was written (%s): it is removed, and the "
        "training begins anew",
        store.directory,
        record.complaint(at_end=True) or "its loss was beyond all sense",
    )
    store.discard()
    return None


def changes_since(state: dict[str, Any], settings: Settings) -> Changes:
    """What is different from the settings that the run of a checkpoint has had."""
    return changes_between(state.get("settings") or _settings_of_first_release(state), settings)


def take_up(run: Run, changes: Changes, cfg: CfgNode, output_dir: Path) -> None:
    """Adapt a run that was restored from a checkpoint in `output_dir`; tell what has changed."""
    remedy = f"remove {output_dir}"
    tell(changes, remedy=remedy)
    if run.num_backoffs and is_another_try(changes):
        logger.info("The learning rate is SOLVER.BASE_LR again, and may be halved again")
        run.num_backoffs = 0
        run.schedule.scale(run.rate_factor)
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
    logger.info("Resuming from %s after iteration %d", output_dir, run.iteration)
    if run.iteration >= cfg.SOLVER.MAX_ITER:
        logger.warning("Nothing is left to train; %s to train anew", remedy)


def config_as_used(cfg: CfgNode, run: Run) -> CfgNode:
    """The config of a saved model: with the rates and the seed that the run has in fact."""
    used = cfg.clone()
    used.defrost()
    used.SOLVER.BASE_LR *= run.rate_factor
    used.SOLVER.BASE_LR_END *= run.rate_factor
    if used.SEED >= 0:
        used.SEED = run.seed
    return used


def _settings_of_first_release(state: dict[str, Any]) -> Settings:
    """The learning rate is all that its checkpoints tell."""
    rates = {float(lr) for lr in state["schedule"]["base_lrs"]}
    if len(rates) != 1:
        return {}
    halved = BACKOFF ** int(state["counters"]["num_backoffs"])
    return {"SOLVER.BASE_LR": str(rates.pop() / halved)}
