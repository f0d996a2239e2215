"""What a training run gives back."""

from dataclasses import dataclass

from app.engine.checkpoint.saved_model import SavedModel
from app.engine.errors import OutOfMemoryError
from app.engine.training.validation.outcome import Failure


@dataclass(frozen=True, slots=True)
class TrainSummary:
    """How a run ended.

    iteration  finished iterations
    stopped    somebody asked it to end: nothing more was evaluated, starting again goes on
    best       the model with the best TEST.METRIC, if this process saw one
    last       the final weights; None when stopped
    failure    why the latest evaluation did not come to its end, or a part of it did not
    num_validated  images in its numbers; 0: none was made
    """

    iteration: int
    stopped: bool
    best: SavedModel | None = None
    last: SavedModel | None = None
    failure: Failure | None = None
    num_validated: int = 0

    def require_evaluation(self) -> None:
        """OutOfMemoryError where memory was too small to evaluate the model, which is kept."""
        if self.failure is not None and self.failure.out_of_memory:
            raise OutOfMemoryError(
                f"the model is trained and kept, but memory ran out in its evaluation "
                f"({self.failure.reason}); lower INPUT.MIN_SIZE_TEST or DATALOADER.NUM_WORKERS, or "
                "give it more memory, then start again with the same output folder to evaluate it"
            )
