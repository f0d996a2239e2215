"""The request for a training run."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from app.engine.checkpoint.saved_model import SavedModel
from app.engine.config import CfgNode
from app.engine.data.datasets.dataset import Dataset
from app.engine.structures.record import ImageRecord
from common.progress import Progress


def _ignore(_: object) -> None:
    """The default of the callbacks: do nothing."""


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """A training run: the config of the model, the images, the devices and the outputs.

    val_records          labelled images to evaluate on; none: the run is not evaluated
    val_dataset          data set whose evaluation rules apply; None: COCO's rules
    output_dir           folder for checkpoints, metrics.json and models
    tensorboard_dir      folder for TensorBoard's files; None: none are written
    initial_weights      weights file to start from; None: from scratch
    initial_class_names  classes of that file if it does not hold them; rows are matched by name
    resume               go on from the checkpoint in `output_dir` if there is one
    devices              "cpu" or "cuda:<index>", one for each process of the run
    num_workers          workers of the data loader; None: DATALOADER.NUM_WORKERS
    checkpoint_seconds   longest time between two checkpoints
    started              the clock when the run began, from which SOLVER.MAX_MINUTES counts; None:
                         now

    The first process calls these functions:
    clock                returns seconds, from any zero
    progress             with the share of the run that is done, rising from 0 to 1
    on_model             with each new best model, and with the last one
    should_stop          after every iteration; True saves a checkpoint (and a model, where no
                         evaluation has found a best one yet) and ends the run
    """

    cfg: CfgNode
    train_records: Sequence[ImageRecord]
    class_names: Sequence[str]
    output_dir: Path
    val_records: Sequence[ImageRecord] = ()
    val_dataset: Dataset | None = None
    tensorboard_dir: Path | None = None
    initial_weights: Path | None = None
    initial_class_names: Sequence[str] | None = None
    resume: bool = False
    devices: Sequence[str] = ("cpu",)
    num_workers: int | None = None
    checkpoint_seconds: float = 300.0
    clock: Callable[[], float] = time.monotonic
    started: float | None = None
    progress: Progress = _ignore
    on_model: Callable[[SavedModel], None] = _ignore
    should_stop: Callable[[], bool] = _never

    def without_callbacks(self) -> Self:
        """Return the request for all processes but the first."""
        return replace(
            self,
            clock=time.monotonic,
            progress=_ignore,
            on_model=_ignore,
            should_stop=_never,
        )
