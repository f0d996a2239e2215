"""Evaluation in the middle of a training run: it must neither disturb the run nor end it."""

import logging
import math
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from app.engine.config import CfgNode
from app.engine.data.dataset import Dataset
from app.engine.data.loader import Loader, build_test_loader
from app.engine.data.problems import Problems
from app.engine.evaluation.evaluate import build_evaluators, report
from app.engine.evaluation.evaluator import Evaluation, Evaluator, with_augmented
from app.engine.evaluation.inference import OnBatch, Progress, run_inference
from app.engine.modeling.detector import Detector
from app.engine.structures.sample import ImageRecord
from app.engine.training.distributed import Ranks
from app.engine.training.precision import autocast
from app.engine.training.rng import rng_preserved, seed_all
from app.engine.tta import AugmentedDetector
from app.engine.tta.views import ViewSpec

logger = logging.getLogger(__name__)

T = TypeVar("T")

_MAX_LOSS_BATCHES = 100
"""Validation losses are averages; more batches would cost time and change little."""


class Validator:
    """Evaluates models on the validation set, together with the other processes.

    on_batch     sees samples and detections of the first process, for pictures
    should_stop  polled after every batch; True breaks the evaluation off
    """

    def __init__(
        self,
        cfg: CfgNode,
        records: Sequence[ImageRecord],
        class_names: Sequence[str],
        *,
        ranks: Ranks,
        dtype: torch.dtype | None,
        num_workers: int | None = None,
        score_thresh: float = 0.2,
        dataset: Dataset | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.cfg = cfg
        self.records = records
        self.class_names = class_names
        self.ranks = ranks
        self.dtype = dtype
        self.num_workers = num_workers
        self.score_thresh = score_thresh
        self.dataset = dataset
        self.should_stop = should_stop
        self._problems = Problems()
        # What is wrong with the settings ends the run now, not its evaluations one by one.
        if records:
            build_evaluators(cfg, records, class_names, dataset=dataset)
        if cfg.TEST.AUG.ENABLED:
            ViewSpec.from_config(cfg)

    def __call__(
        self,
        model: Detector,
        *,
        progress: Progress,
        on_batch: OnBatch | None = None,
        augmented: bool = False,
    ) -> Evaluation | None:
        """Numbers with `validation_*` losses among them; None when something went wrong.

        Whatever goes wrong is logged with its traceback: a model that trains is worth more.

        augmented  add the metrics of test-time augmentation, if the config asks for it
        """
        with rng_preserved():
            losses = self._together("validation losses", lambda: self._loss_sums(model))
            evaluation = self._evaluate(model, progress, on_batch)
            if augmented and self.cfg.TEST.AUG.ENABLED:
                logger.info("Running inference with test-time augmentation ...")
                second = self._evaluate(AugmentedDetector.around(model, self.cfg), progress, None)
                if evaluation is not None and second is not None:
                    evaluation = with_augmented(evaluation, second)
        if evaluation is not None and losses is not None:
            evaluation.metrics.update(_mean_losses(losses))
        return self.ranks.broadcast(evaluation)

    def _evaluate(
        self, model: Detector, progress: Progress, on_batch: OnBatch | None
    ) -> Evaluation | None:
        evaluators = build_evaluators(
            self.cfg, self.records, self.class_names, dataset=self.dataset
        )
        shares = self._together(
            "evaluation", lambda: self._detect(model, evaluators, progress, on_batch)
        )
        if shares is None:
            return None
        try:
            for index, evaluator in enumerate(evaluators):
                evaluator.merge([states[index] for _, states in shares])
            return report(
                evaluators,
                num_images=sum(number for number, _ in shares),
                score_thresh=self.score_thresh,
            )
        except Exception:  # metrics are never worth a training run
            logger.warning("The evaluation failed; training goes on", exc_info=True)
            return None

    def _together(self, what: str, work: Callable[[], T]) -> list[T] | None:
        """Every process does `work`; the first gets all results, None when one of them failed."""
        outcome: tuple[T | None, str]
        try:
            outcome = (work(), "")
        except InterruptedError:
            outcome = (None, "asked to stop")
        except Exception:  # the others wait for this process whatever happens to it
            outcome = (None, traceback.format_exc())
        gathered = self.ranks.gather(outcome)
        if gathered is None:
            return None
        failures = [trace for _, trace in gathered if trace]
        if failures:
            logger.warning("The %s failed; training goes on:\n%s", what, failures[0])
            return None
        return [result for result, _ in gathered if result is not None]

    def _detect(
        self,
        model: Detector,
        evaluators: Sequence[Evaluator],
        progress: Progress,
        on_batch: OnBatch | None,
    ) -> tuple[int, list[Any]]:
        loader = self._loader()
        num_images = run_inference(
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
        return num_images, [evaluator.state() for evaluator in evaluators]

    def _loader(self, *, with_ground_truth: bool = False) -> Loader:
        loader = build_test_loader(
            self.cfg,
            self.records,
            batch_size=self._batch_size,
            rank=self.ranks.rank,
            world_size=self.ranks.world_size,
            num_workers=self.num_workers,
            with_ground_truth=with_ground_truth,
        )
        loader.problems = self._problems  # told once, not at every evaluation
        return loader

    def _interruptible(self, progress: Progress) -> Progress:
        def report_or_stop(share: float) -> None:
            progress(share)
            self._stop_if_asked()

        return report_or_stop

    def _stop_if_asked(self) -> None:
        if self.should_stop():
            raise InterruptedError("asked to stop")

    @property
    def _batch_size(self) -> int:
        return max(1, int(self.cfg.SOLVER.IMS_PER_BATCH) // self.ranks.world_size)

    @torch.no_grad()
    def _loss_sums(self, model: Detector) -> dict[str, tuple[float, int]]:
        """Sum of each loss over images, and the number of images."""
        loader = self._loader(with_ground_truth=True)
        seed_all(self.ranks.rank)  # the same draws whenever it is done: losses can be compared
        sums: dict[str, Tensor] = {}
        num_images = 0
        with _training_without_traces(model):
            for samples in islice(loader, _MAX_LOSS_BATCHES):
                self._stop_if_asked()
                if not samples:
                    continue
                with autocast(model.device, self.dtype):
                    losses = model.losses(samples)
                num_images += len(samples)
                for name, loss in losses.items():
                    value = loss.detach().double() * len(samples)
                    sums[name] = sums[name] + value if name in sums else value
        return {name: (float(value), num_images) for name, value in sums.items()}


@contextmanager
def _training_without_traces(model: Detector) -> Iterator[None]:
    """`model` in training mode, its norms and loss normalisers left as they are."""
    was_training, state = model.training, model.training_state()
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    try:
        yield
    finally:
        model.train(was_training)
        model.load_training_state(state)


def _mean_losses(shares: Sequence[dict[str, tuple[float, int]]]) -> dict[str, float]:
    means: dict[str, float] = {}
    for name in dict.fromkeys(name for share in shares for name in share):
        parts = [share[name] for share in shares if name in share]
        total = sum(number for _, number in parts)
        means[f"validation_{name}"] = sum(value for value, _ in parts) / total
    if means:
        means["validation_total_loss"] = math.fsum(means.values())
    return means
