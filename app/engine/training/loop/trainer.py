"""Builds the parts of a training run in one process and runs it from start to end."""

import logging
import time
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace

from app.engine.checkpoint.store import CheckpointStore
from app.engine.config import CfgNode
from app.engine.data.loading.damaged import report_met
from app.engine.data.loading.loader import Loader, build_train_loader
from app.engine.evaluation.evaluator import verify_results
from app.engine.training.loop import hooks
from app.engine.training.loop.loss_watch import LossWatch
from app.engine.training.loop.train_loop import Hook, train_loop
from app.engine.training.process.precision import set_backend_flags, training_dtype
from app.engine.training.process.ranks import Ranks
from app.engine.training.reporting.pictures import PictureBook
from app.engine.training.reporting.progress import ProgressMeter, TimeMeter
from app.engine.training.reporting.scalars import Scalars
from app.engine.training.reporting.writers import Writers
from app.engine.training.request import TrainRequest
from app.engine.training.state.build_run import build_run
from app.engine.training.state.checkpoints import Checkpoints
from app.engine.training.state.divergence import DivergingError, LossHistory
from app.engine.training.state.identity import identity
from app.engine.training.state.plan import evaluated_after, evaluation_cost
from app.engine.training.state.run import Finished, Run
from app.engine.training.state.settings import settings_of
from app.engine.training.state.timed_plan import TimedPlan
from app.engine.training.summary import TrainSummary
from app.engine.training.validation.model_selector import ModelSelector
from app.engine.training.validation.validator import Validator

logger = logging.getLogger(__name__)


_MOST_LOSSES = 100_000  # of which a tenth is kept, where only the time tells how many there are


def train_together(ranks: Ranks, request: TrainRequest) -> TrainSummary:
    """Do this process's part of a run over all `ranks`."""
    return Trainer(ranks, request).train()


class Trainer:
    """A training run in one process, with its checkpoints, validation, writers and hooks."""

    def __init__(self, ranks: Ranks, request: TrainRequest) -> None:
        self.ranks = ranks
        self.cfg = request.cfg.with_values({"MODEL.DEVICE": str(ranks.device)})
        self.request = request = replace(request, cfg=self.cfg)
        self.dtype = training_dtype(self.cfg, ranks.device)
        set_backend_flags(self.cfg)
        self.checkpoints = Checkpoints(
            CheckpointStore(request.output_dir / "checkpoints"),
            ranks,
            identity(self.cfg, request.class_names),
            settings_of(self.cfg, request.train_records, request.val_records),
            seconds=request.checkpoint_seconds,
        )
        self.watch = LossWatch(Scalars(), LossHistory(_losses_of(self.cfg)), ranks)
        self.run = build_run(
            request,
            ranks,
            checkpoints=self.checkpoints,
            losses=self.watch.history,
            dtype=self.dtype,
        )
        self.meter = self._progress_meter()
        self.book = PictureBook(request.class_names, image_format=self.cfg.INPUT.FORMAT)
        self.validator = Validator(request, ranks, dtype=self.dtype)
        self.selector = ModelSelector(
            request,
            self.validator,
            first_batches=lambda: iter(self._loader(skip_batches=0)),
            meter=self.meter,
            scalars=self.watch.scalars,
            book=self.book,
        )

    def train(self) -> TrainSummary:
        """Train to the end and save the last model."""
        start = time.perf_counter()
        with self._writing() as writers:
            self.selector.writers = writers
            logger.info("Starting training from iteration %d", self.run.iteration)
            stopped = self._iterate(writers)
            self.run.plan.tell_end(self.run.iteration)
            hooks.log_speed(self.watch, total_s=time.perf_counter() - start)
            self._tell_of_damage()
            run, last = self.run, None
            if stopped:
                self.selector.keep_without_best(run, again=True)
            elif writers is not None:
                last = self.selector.keep(run, "last")
                self.meter.done()
                if run.evaluated_at == run.iteration:
                    verify_results(self.cfg.TEST.EXPECTED_RESULTS, run.metrics)
        return TrainSummary(
            run.iteration,
            stopped,
            self.selector.best,
            last,
            failure=self.selector.latest.failure,
            num_validated=self.selector.latest.num_images,
        )

    def _iterate(self, writers: Writers | None) -> bool:
        """Train to the end, going back when the loss diverges; return whether asked to stop."""
        while True:
            try:
                return self._iterate_on(writers)
            except DivergingError as error:
                self.watch.forget()
                self.checkpoints.back_off(self.run, error)

    def _iterate_on(self, writers: Writers | None) -> bool:
        """Train from the current iteration on; return whether the run was asked to stop."""
        try:
            self.run.plan.begin(self.run.iteration)
            self.checkpoints.save(self.run)
            self._evaluate_if_due(self.run)  # repeats an evaluation that was interrupted
            loader = self._loader(skip_batches=self.run.images // self.run.ims_per_batch)
            with closing(iter(loader)) as batches:
                train_loop(
                    self.run,
                    batches,
                    self._hooks(writers),
                    ranks=self.ranks,
                    should_stop=self.request.should_stop,
                    should_save=self.checkpoints.due,
                )
        except Finished as finished:
            if not finished.stopped:
                self.watch.look(at_end=True)
            return finished.stopped
        return False

    def _hooks(self, writers: Writers | None) -> list[Hook]:
        """Return the hooks in order: check numbers first, write a checkpoint before evaluating."""
        period = int(self.cfg.SOLVER.CHECKPOINT_PERIOD)
        chosen = [hooks.watch_losses(self.watch)]
        if writers is not None:
            chosen += [
                hooks.log(self.watch, writers, device=self.ranks.device),
                hooks.draw_batches(self.book, writers, period=int(self.cfg.VIS_PERIOD)),
            ]
        return [
            *chosen,
            hooks.require_finite_outputs(self.ranks, dtype=self.dtype, is_due=self.selector.is_due),
            hooks.save(self._save, period=period),
            hooks.report_progress(self.meter),
            hooks.unless_stopping(self._evaluate_if_due),
            hooks.stop_when_asked(),
        ]

    def _tell_of_damage(self) -> None:
        for name, met, records in (
            ("training", self.run.damaged.met(), self.request.train_records),
            ("validation", self.validator.clipped(), self.request.val_records),
        ):
            everywhere = self.ranks.gather(met)
            if everywhere is not None:
                report_met(name, everywhere, len(records))

    def _save(self, run: Run) -> None:
        self.watch.look()
        self.checkpoints.save(run)
        self.selector.keep_without_best(run)

    def _evaluate_if_due(self, run: Run) -> None:
        if self.selector.is_due(run):
            with run.plan.evaluation():
                self._save(run)
                self.selector.evaluate(run)

    def _loader(self, *, skip_batches: int) -> Loader:
        loader = build_train_loader(
            self.cfg,
            self.request.train_records,
            seed=self.run.seed,
            rank=self.ranks.rank,
            world_size=self.ranks.world_size,
            skip_batches=skip_batches,
            num_workers=self.request.num_workers,
        )
        loader.problems = self.run.damaged
        return loader

    def _writing(self) -> AbstractContextManager[Writers | None]:
        """Return the writers in the first process, None in the others."""
        if not self.ranks.is_first:
            return nullcontext()
        return Writers(
            self.watch.scalars,
            metrics_file=self.request.output_dir / "metrics.json",
            tensorboard_dir=self.request.tensorboard_dir,
            start_iteration=self.run.iteration,
        )

    def _progress_meter(self) -> ProgressMeter:
        plan = self.run.plan
        if isinstance(plan, TimedPlan):
            return TimeMeter(self.request.progress, plan.fraction)
        return ProgressMeter(
            self.request.progress,
            max_iter=plan.max_iter,
            evaluations=evaluated_after(self.request),
            evaluation_cost=evaluation_cost(self.request),
        )


def _losses_of(cfg: CfgNode) -> int:
    most = int(cfg.SOLVER.MAX_ITER)
    return min(most, _MOST_LOSSES) if cfg.SOLVER.MAX_MINUTES > 0 else most
