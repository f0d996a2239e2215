"""A training run: everything that changes while a model is trained."""

from dataclasses import dataclass, field

from app.engine.data.loading.damaged import DamagedImages
from app.engine.modeling.detector import Detector
from app.engine.solver import Schedule
from app.engine.training.state.divergence import LossHistory
from app.engine.training.state.plan import Plan
from app.engine.training.update.ema import Ema
from app.engine.training.update.step import Stepper

BACKOFF = 0.5
"""Factor on the learning rate each time that a run goes back to its last checkpoint."""


@dataclass(slots=True)
class Run:
    """A training run between two iterations.

    plan         the number of iterations, and when the model is evaluated
    ims_per_batch  images of one iteration, over all processes
    iteration    number of finished iterations
    images       number of images used in them
    best_metric  highest value of TEST.METRIC so far, of `best_iteration`; None: none yet
    patience_used  number of evaluations since `best_iteration`
    evaluated_at iteration of the latest evaluation
    num_backoffs how often the run went back to a checkpoint with half the learning rate
    losses       losses of the first and of the latest iterations
    metrics      those of the latest evaluation
    class_results  for each class the fields of its `evaluation.evaluator.ClassResult`
    damaged      training images that this process could not read, or only in part
    """

    model: Detector
    stepper: Stepper
    schedule: Schedule
    plan: Plan
    ema: Ema | None
    seed: int
    ims_per_batch: int
    losses: LossHistory
    damaged: DamagedImages
    iteration: int = 0
    images: int = 0
    best_metric: float | None = None
    best_iteration: int = 0
    patience_used: int = 0
    evaluated_at: int = 0
    num_backoffs: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    class_results: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def best_model(self) -> Detector:
        """The model to evaluate and save: the moving average if there is one."""
        if self.ema is None:
            return self.model
        averaged = self.ema.model
        assert isinstance(averaged, Detector)
        return averaged

    @property
    def rate_factor(self) -> float:
        """The factor on all learning rates after `num_backoffs` returns to a checkpoint."""
        return BACKOFF**self.num_backoffs

    def count_backoffs(self, number: int) -> None:
        """Set the number of returns to a checkpoint, and the learning rates accordingly."""
        self.num_backoffs = number
        self.schedule.scale(self.rate_factor)

    def count_iteration(self) -> None:
        """Count one more finished iteration."""
        self.iteration += 1
        self.images += self.ims_per_batch

    def accept(self, metric: float) -> bool:
        """Record an evaluation's metric (higher is better); return whether it is the best yet."""
        if self.best_metric is not None and not metric > self.best_metric:
            self.patience_used += 1
            return False
        self.best_metric, self.best_iteration, self.patience_used = metric, self.iteration, 0
        return True


class Finished(Exception):  # noqa: N818 - not an error: the run is over before its last iteration
    """The run has no more iterations.

    stopped  the run was asked to stop and must end at once
    """

    def __init__(self, *, stopped: bool) -> None:
        super().__init__()
        self.stopped = stopped
