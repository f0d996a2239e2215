"""What a training run is given, and what it gives back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.engine.checkpoint.saved_model import SavedModel
from app.engine.config import CfgNode
from app.engine.data.datasets.dataset import Dataset
from app.engine.structures.sample import ImageRecord
from common.progress import Progress


@dataclass(frozen=True, slots=True)
class Callbacks:
    """How a run talks to the outside; only the first process does.

    progress     share of the run that is done, rising from 0 to 1
    on_model     a model was saved: a new best, or the last one
    should_stop  polled after every iteration
    """

    progress: Progress
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
