"""When a run is saved, what into, and how it is taken up again after a kill or a divergence."""

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
_MAX_SHARE = 0.05  # of the time may go into saving


class Checkpoints:
    """The checkpoints of one run, written by the first process.

    identity  which run they belong to (`identity.identity`)
    settings  those of the run from now on
    seconds   a checkpoint is due when the last one is so old (and was not so slow to write that
              saving would take more than a twentieth of the time)
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
        """Whether the clock asks for one; only the first process has a say."""
        age = time.monotonic() - self._saved_at
        return self.ranks.is_first and age >= max(self.seconds, self._cost_s / _MAX_SHARE)

    def load(self) -> dict[str, Any] | None:
        """The newest state; None when there is none, CheckpointError for another model's."""
        state = self.store.load()
        if state is not None:
            source = str(self.store.directory)
            check_same_model(state, self.identity, self.settings, source=source)
        return state

    def save(self, run: Run) -> None:
        """Write the run as it is; a disk that is full costs the checkpoint, not the run.

        Raises DivergingError rather than keep weights that are not finite.
        """
        if run.iteration == self._last_iteration:
            return
        # Statistics of norms are each process's own, but all must do the same.
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
        """Go on where `state` was taken."""
        load_run_state(run, state, rank=self.ranks.rank, world_size=self.ranks.world_size)
        self._last_iteration = run.iteration

    def back_off(self, run: Run, error: DivergingError) -> None:
        """Fall back to the last checkpoint with half the learning rate, at most twice.

        DivergedError when that did not help. Of a checkpoint so early that nothing has vouched for
        its losses yet, nothing would come with any settings: the next start begins anew.
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
        # A checkpoint from before the last fall-back does not know of it.
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
    # A loss is older than the step it leads to: finite losses do not vouch for the weights, and
    # those of norms that train do not look at the statistics that detection will use.
    models = [run.model] if run.ema is None else [run.model, run.ema.model]
    tensors = [tensor for model in models for tensor in model.state_dict().values()]
    sums = [tensor.sum(dtype=torch.float32) for tensor in tensors if tensor.is_floating_point()]
    return bool(torch.stack(sums).isfinite().all())
