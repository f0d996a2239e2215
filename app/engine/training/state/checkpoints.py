"""Saves a run, and restores it after it was killed or has diverged."""

import logging
import time
from typing import Any

import torch

from app.engine.checkpoint.store import CheckpointStore
from app.engine.errors import DivergedError
from app.engine.training.process.ranks import Ranks
from app.engine.training.state.divergence import FEWEST, DivergingError
from app.engine.training.state.identity import check_same_model
from app.engine.training.state.run import Run
from app.engine.training.state.run_state import load_run_state, process_state, run_state
from app.engine.training.state.settings import Settings

logger = logging.getLogger(__name__)

MAX_BACKOFFS = 2
_MAX_SHARE = 0.05  # largest fraction of the time that is spent on saving


class Checkpoints:
    """The checkpoints of one run, written by the first process.

    identity  the model and data that the checkpoints belong to (`identity.identity`)
    settings  the settings of the run from now on
    seconds   a checkpoint is due when the last one is older than this; later, where saving would
              otherwise take more than a twentieth of the time
    """

    def __init__(
        self,
        store: CheckpointStore,
        ranks: Ranks,
        identity: dict[str, Any],
        settings: Settings,
        *,
        seconds: float,
    ) -> None:
        self.store = store
        self.ranks = ranks
        self.identity = identity
        self.settings = settings
        self.seconds = seconds
        self._saved_at = time.monotonic()
        self._cost_s = 0.0
        self._last_iteration = -1

    def due(self) -> bool:
        """Return whether the last checkpoint is too old; always False but in the first process."""
        age = time.monotonic() - self._saved_at
        return self.ranks.is_first and age >= max(self.seconds, self._cost_s / _MAX_SHARE)

    def load(self) -> dict[str, Any] | None:
        """Return the newest state, or None; raises CheckpointError if it is of another model."""
        state = self.store.load()
        if state is not None:
            source = str(self.store.directory)
            check_same_model(state, self.identity, self.settings, source=source)
        return state

    def save(self, run: Run) -> None:
        """Write a checkpoint; a full disk causes a warning and does not end the run.

        Raises DivergingError instead of saving weights that are not finite.
        """
        if run.iteration == self._last_iteration:
            return
        # Each process has its own norm statistics, but all must take the same decision.
        (is_lost,) = self.ranks.any((not _is_finite(run),))
        if is_lost:
            raise DivergingError(f"Weights became infinite or NaN at {run.iteration - 1}")
        own_states = self.ranks.gather(process_state(run))
        self._last_iteration = run.iteration
        if own_states is None:
            return
        start = time.monotonic()
        try:
            self.store.save(run_state(run, own_states, self.identity, self.settings))
        except OSError as error:
            logger.warning(
                "No checkpoint after iteration %d (%s); look after the storage of %s",
                run.iteration,
                error,
                self.store.directory,
            )
        self._saved_at = time.monotonic()
        self._cost_s = self._saved_at - start

    def restore(self, run: Run, state: dict[str, Any]) -> None:
        """Restore the run from `state`."""
        load_run_state(run, state, rank=self.ranks.rank, world_size=self.ranks.world_size)
        self._last_iteration = run.iteration

    def back_off(self, run: Run, error: DivergingError) -> None:
        """Go back to the last checkpoint with half the learning rate, at most twice.

        Raises DivergedError when that did not help. A checkpoint from before the first check of
        the losses may be bad with any settings, so it is removed and the next start begins anew.
        """
        num_backoffs = run.num_backoffs + 1
        state = self.load() if num_backoffs <= MAX_BACKOFFS else None
        if state is None:
            if self.ranks.is_first and self._last_iteration < FEWEST:
                self.store.discard()
            raise DivergedError(
                f"{error}; {run.num_backoffs} returns to a checkpoint with half the learning rate "
                f"did not help: lower SOLVER.BASE_LR ({self.settings['SOLVER.BASE_LR']}), or look "
                "for wrong labels, then start again with the same output folder"
            ) from error
        self.restore(run, state)
        # The checkpoint may be older than the last return, so its own count is too low.
        run.count_backoffs(num_backoffs)
        self._last_iteration = -1
        logger.warning(
            "%s. Going back to iteration %d with %g times the learning rate (%d of %d)",
            error,
            run.iteration,
            run.rate_factor,
            num_backoffs,
            MAX_BACKOFFS,
        )


@torch.no_grad()
def _is_finite(run: Run) -> bool:
    # A loss is computed before its step, so finite losses do not mean finite weights, and norms
    # in training mode do not use the running statistics that detection will use.
    models = [run.model] if run.ema is None else [run.model, run.ema.model]
    tensors = [tensor for model in models for tensor in model.state_dict().values()]
    sums = [tensor.sum(dtype=torch.float32) for tensor in tensors if tensor.is_floating_point()]
    return bool(torch.stack(sums).isfinite().all())
