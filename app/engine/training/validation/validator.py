"""Evaluation during a training run, which it must neither change nor end."""

import logging
from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from app.engine.data.loading.damaged import Met, MetImages
from app.engine.data.loading.loader import CLIPPED, Loader, build_test_loader
from app.engine.evaluation.evaluate import SCORE_THRESH, build_evaluators, report
from app.engine.evaluation.evaluator import Coverage, Evaluation, Evaluator, with_augmented
from app.engine.evaluation.inference import OnBatch, run_inference
from app.engine.modeling.detector import Detector
from app.engine.tiles.tiled_detector import tiled
from app.engine.training.process.ranks import Ranks
from app.engine.training.process.rng import rng_preserved, seed_all
from app.engine.training.request import TrainRequest
from app.engine.training.validation.losses import (
    added,
    mean_losses,
    summed_losses,
    training_without_traces,
)
from app.engine.training.validation.outcome import Attempts, Validation
from app.engine.tta import AugmentedDetector
from app.engine.tta.views import ViewSpec
from common.progress import Progress

logger = logging.getLogger(__name__)

_MAX_LOSS_BATCHES = 100
"""Validation losses are averages; more batches would take time and change little."""


class Validator:
    """Evaluates models on the validation set, together with the other processes.

    A request to stop interrupts an evaluation.
    """

    def __init__(self, request: TrainRequest, ranks: Ranks, *, dtype: torch.dtype | None) -> None:
        self.request = request
        self.cfg = request.cfg
        self.records = request.val_records
        self.ranks = ranks
        self.dtype = dtype
        self._problems = MetImages()
        # Wrong settings raise here, at the start, and not in every evaluation.
        if self.records:
            self._build_evaluators()
        if self.cfg.TEST.AUG.ENABLED:
            ViewSpec.from_config(self.cfg)

    def __call__(
        self,
        model: Detector,
        *,
        progress: Progress,
        on_batch: OnBatch | None = None,
        augmented: bool = False,
    ) -> Validation:
        """Return the metrics, with the `validation_*` losses among them.

        Failures are logged and returned; they do not end the training.

        on_batch   called with samples and detections of this process, for pictures
        augmented  add the metrics of test-time augmentation, if the config asks for it
        """
        attempts = Attempts(self.ranks)
        with rng_preserved():
            losses = attempts.together(
                "validation losses", lambda: self._loss_sums(model), mean_losses
            )
            whole = self._tiled(model)
            evaluation = self._evaluate(attempts, "evaluation", whole, progress, on_batch)
            if augmented and self.cfg.TEST.AUG.ENABLED:
                logger.info("Running inference with test-time augmentation ...")
                views = self._tiled(AugmentedDetector.around(model, self.cfg))
                second = self._evaluate(attempts, "second evaluation", views, progress, None)
                if evaluation is not None and second is not None:
                    evaluation = with_augmented(evaluation, second)
        if evaluation is not None and losses is not None:
            evaluation.metrics.update(losses)
        return self.ranks.broadcast(Validation(evaluation, attempts.main_failure))

    def clipped(self) -> Met:
        """Return the images of this process whose values were clipped."""
        return self._problems.met(CLIPPED)

    def _evaluate(
        self,
        attempts: Attempts,
        what: str,
        model: Detector,
        progress: Progress,
        on_batch: OnBatch | None,
    ) -> Evaluation | None:
        def detect() -> list[Any]:
            evaluators = [Coverage(), *self._build_evaluators()]
            self._detect(model, evaluators, progress, on_batch)
            return [evaluator.state() for evaluator in evaluators]

        def numbers(shares: list[list[Any]]) -> Evaluation:
            coverage, evaluators = Coverage(), self._build_evaluators()
            for index, evaluator in enumerate((coverage, *evaluators)):
                evaluator.merge([states[index] for states in shares])
            coverage.require_any(self.records)
            num_images = len(coverage.images)
            return report(evaluators, num_images=num_images, score_thresh=SCORE_THRESH)

        return attempts.together(what, detect, numbers)

    def _build_evaluators(self) -> list[Evaluator]:
        return build_evaluators(
            self.cfg, self.records, self.request.class_names, dataset=self.request.val_dataset
        )

    def _detect(
        self,
        model: Detector,
        evaluators: Sequence[Evaluator],
        progress: Progress,
        on_batch: OnBatch | None,
    ) -> None:
        loader = self._loader()
        run_inference(
            model,
            loader,
            {record.image_id: record for record in self.records},
            evaluators,
            num_batches=len(loader),
            num_devices=self.ranks.world_size,
            dtype=self.dtype,
            progress=self._interruptible(progress),
            on_batch=on_batch,
        )

    def _tiled(self, model: Detector) -> Detector:
        return tiled(model, self.cfg, batch_size=self._batch_size)

    def _loader(self, *, with_ground_truth: bool = False) -> Loader:
        loader = build_test_loader(
            self.cfg,
            self.records,
            batch_size=self._batch_size,
            rank=self.ranks.rank,
            world_size=self.ranks.world_size,
            num_workers=self.request.num_workers,
            with_ground_truth=with_ground_truth,
        )
        loader.problems = self._problems  # logged once, not at every evaluation
        return loader

    def _interruptible(self, progress: Progress) -> Progress:
        def report_or_stop(share: float) -> None:
            progress(share)
            self._stop_if_asked()

        return report_or_stop

    def _stop_if_asked(self) -> None:
        if self.request.should_stop():
            raise InterruptedError("asked to stop")

    @property
    def _batch_size(self) -> int:
        return max(1, int(self.cfg.SOLVER.IMS_PER_BATCH) // self.ranks.world_size)

    @torch.no_grad()
    def _loss_sums(self, model: Detector) -> dict[str, tuple[float, int]]:
        """Return the sum of each loss over images, and the number of images."""
        loader = self._loader(with_ground_truth=True)
        seed_all(self.ranks.rank)  # the same random numbers each time, so that losses compare
        sums: dict[str, Tensor] = {}
        num_images = 0
        with training_without_traces(model):
            for samples in islice(loader, _MAX_LOSS_BATCHES):
                self._stop_if_asked()
                if not samples:
                    continue
                num_images += len(samples)
                sums = added(sums, summed_losses(model, samples, self.dtype))
        return {name: (float(value), num_images) for name, value in sums.items()}
