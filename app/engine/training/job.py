"""What a training run is given, and what it gives back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.engine.config import CfgNode
from app.engine.data.dataset import Dataset
from app.engine.errors import OutOfMemoryError
from app.engine.structures.sample import ImageRecord
from app.engine.training.failure import Failure
from app.engine.training.saved_model import SavedModel


@dataclass(frozen=True, slots=True)
class Callbacks:
    """How a run talks to the outside; only the first process does.

    progress     share of the run that is done, rising from 0 to 1
    on_model     a model was saved: a new best, or the last one
    should_stop  polled after every iteration
    """

    progress: Callable[[float], None]
    on_model: Callable[[SavedModel], None]
    should_stop: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Job:
    """What every process of a run is given; see `train`."""

    cfg: CfgNode
    train_records: Sequence[ImageRecord]
    val_records: Sequence[ImageRecord]
    class_names: Sequence[str]
    output_dir: Path
    tensorboard_dir: Path | None
    callbacks: Callbacks
    resume: bool
    seed: int
    initial_weights: Path | None = None
    initial_class_names: Sequence[str] | None = None
    num_workers: int | None = None
    checkpoint_seconds: float = 300.0
    score_thresh: float = 0.2
    val_dataset: Dataset | None = None


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
