"""Evaluates a run at regular intervals, saves the best model, and stops the run early."""

import logging
import math
from collections.abc import Callable, Generator
from dataclasses import asdict

from app.engine.checkpoint.saved_model import SavedModel, save_model
from app.engine.evaluation.evaluator import Evaluation
from app.engine.structures.sample import Sample
from app.engine.training.reporting.pictures import Collector, PictureBook
from app.engine.training.reporting.progress import ProgressMeter
from app.engine.training.reporting.scalars import Scalars
from app.engine.training.reporting.writers import Writers
from app.engine.training.request import TrainRequest
from app.engine.training.state.resume import config_as_used
from app.engine.training.state.run import Finished, Run
from app.engine.training.update.precise_bn import measure_norms
from app.engine.training.validation.outcome import Validation
from app.engine.training.validation.validator import Validator

logger = logging.getLogger(__name__)


class ModelSelector:
    """Evaluates a run when its plan says so; saves the best model.

    first_batches  training batches from the first one, for measuring norm statistics
    writers        writers of numbers and pictures; None except in the first process
    """

    def __init__(
        self,
        request: TrainRequest,
        validator: Validator,
        *,
        first_batches: Callable[[], Generator[list[Sample]]],
        meter: ProgressMeter,
        scalars: Scalars,
        book: PictureBook,
    ) -> None:
        self.request = request
        self.cfg = request.cfg
        self.validator = validator
        self.first_batches = first_batches
        self.meter = meter
        self.scalars = scalars
        self.book = book
        self.best: SavedModel | None = None
        self.latest = Validation()
        self.writers: Writers | None = None
        self._told_of_metric = False
        self._kept_at = 0  # iteration of the model that was saved before there was a best one

    def is_due(self, run: Run) -> bool:
        """Return whether the run should be evaluated now and has not been yet."""
        return run.evaluated_at != run.iteration and run.plan.is_evaluated_after(run.iteration)

    def evaluate(self, run: Run) -> None:
        """Evaluate, log, save the model if it is the best; raises Finished to stop early."""
        with self.meter.ticking():
            self._measure_norms(run)
            self.validator.ranks.share_buffers(run.best_model)
            # The averaged model has not trained, so it needs the loss normalisers of the model.
            run.best_model.load_training_state(run.model.training_state())
            collector = Collector(self.book, self.request.val_records)
            validation = self.validator(
                run.best_model,
                progress=lambda share: self.meter.evaluation(run.iteration, share),
                on_batch=None if self.writers is None else collector,
                # This is slow, so it is done only for the final model, as in detectron2.
                augmented=run.iteration >= run.plan.max_iter,
            )
        run.model.train()
        should_stop = self.request.should_stop
        (stopped,) = self.validator.ranks.any((should_stop(),))
        if stopped:
            # The checkpoint was saved before this evaluation, so a new start will repeat it.
            logger.info("Stopping in an evaluation as asked; start again to go on")
            raise Finished(stopped=True)
        run.evaluated_at = run.iteration
        run.metrics, run.class_results = {}, {}
        self.latest, evaluation = validation, validation.evaluation
        if evaluation is None:
            return
        counts = {"tp": evaluation.tp, "fp": evaluation.fp, "fn": evaluation.fn}
        run.metrics = evaluation.metrics | counts
        run.class_results = {name: asdict(each) for name, each in evaluation.per_class.items()}
        if self.writers is not None:
            self._write(run, evaluation, collector, self.writers)
        self._compare(run, evaluation)
        self._stop_early(run)

    def _measure_norms(self, run: Run) -> None:
        settings = self.cfg.TEST.PRECISE_BN
        if settings.ENABLED:
            measure_norms(
                run.best_model,
                self.first_batches,
                num_batches=settings.NUM_ITER,
                dtype=self.validator.dtype,
            )

    def _write(
        self, run: Run, evaluation: Evaluation, collector: Collector, writers: Writers
    ) -> None:
        iteration = run.iteration - 1
        self.scalars.put(iteration, evaluation.metrics, smoothed=False)
        losses = {k: v for k, v in evaluation.metrics.items() if k.startswith("validation_")}
        if losses:
            text = "  ".join(f"{name}: {value:.4g}" for name, value in losses.items())
            logger.info("iter: %d  %s", iteration, text)
        writers.write()
        sheet = collector.sheet()
        if sheet is not None:
            writers.picture("validation/detections", sheet, iteration)

    def _compare(self, run: Run, evaluation: Evaluation) -> None:
        name = self.cfg.TEST.METRIC
        metric = evaluation.metrics.get(name, math.nan)
        if math.isnan(metric):
            self._tell_of_metric(name, evaluation)
            return
        before, at = run.best_metric, run.best_iteration
        if not run.accept(metric):
            logger.info(
                "Not saving as latest eval score for %s is %.5f, not better than best score %.5f "
                "@ iteration %d.",
                name,
                metric,
                before,
                at,
            )
            return
        logger.info("Saving best model: %s is %.5f @ iteration %d.", name, metric, run.iteration)
        if self.writers is not None:
            self.best = self.keep(run, "best")

    def _tell_of_metric(self, name: str, evaluation: Evaluation) -> None:
        """Warn once that the metric has no value: it will have none later either."""
        if self._told_of_metric:
            return
        self._told_of_metric = True
        logger.warning(
            "TEST.METRIC %s has no value%s, so no model is the best; there are: %s",
            name,
            " (the validation images have no objects that it is of)"
            if name in evaluation.metrics
            else "",
            ", ".join(k for k, v in evaluation.metrics.items() if not math.isnan(v)) or "none",
        )

    def keep(self, run: Run, name: str) -> SavedModel:
        """Save the model and call `on_model`."""
        is_measured = run.evaluated_at == run.iteration
        model = save_model(
            run.best_model,
            config_as_used(self.cfg, run),
            self.request.class_names,
            name=name,
            directory=self.request.output_dir,
            iteration=run.iteration,
            metrics=run.metrics if is_measured else {},
            class_results=run.class_results if is_measured else {},
        )
        self.request.on_model(model)
        return model

    def keep_without_best(self, run: Run, *, again: bool = False) -> None:
        """Save the current model if no evaluation has found a best one yet.

        This is done once at the first checkpoint, as a run may be killed, and `again` on a stop.
        """
        if self.writers is None or run.best_metric is not None or (self._kept_at and not again):
            return
        if run.iteration != self._kept_at:
            self.keep(run, "last")
        self._kept_at = run.iteration

    def _stop_early(self, run: Run) -> None:
        patience = int(self.cfg.TEST.PATIENCE)
        if patience and run.patience_used >= patience:
            logger.info(
                "Stopping early after iteration %d: the best model is that of iteration %d",
                run.iteration,
                run.best_iteration,
            )
            raise Finished(stopped=False)
