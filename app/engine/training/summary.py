"""The result of a training run."""

from dataclasses import dataclass

from app.engine.checkpoint.saved_model import SavedModel
from app.engine.errors import OutOfMemoryError
from app.engine.training.validation.outcome import Failure


@dataclass(frozen=True, slots=True)
class TrainSummary:
    """How a run ended.

    iteration  number of finished iterations
    stopped    the run was asked to end: it was not evaluated again, and a new start continues it
    best       the model with the best TEST.METRIC, if this process found one
    last       the final weights; None when stopped
    failure    why the latest evaluation, or a part of it, failed
    num_validated  images in the metrics of the latest evaluation; 0: there are none
    """

    iteration: int
    stopped: bool
    best: SavedModel | None = None
    last: SavedModel | None = None
    failure: Failure | None = None
    num_validated: int = 0

    def require_evaluation(self) -> None:
        """Raise OutOfMemoryError if memory was too small to evaluate the model, which is kept."""
        if self.failure is not None and self.failure.out_of_memory:
            raise OutOfMemoryError(
                f"the model is trained and kept, but memory ran out in its evaluation "
                f"({self.failure.reason}); lower INPUT.MIN_SIZE_TEST or DATALOADER.NUM_WORKERS, or "
                "give it more memory, then start again with the same output folder to evaluate it"
            )
