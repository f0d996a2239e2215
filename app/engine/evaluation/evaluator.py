"""The interface of metrics: add images one by one, merge other processes, compute the numbers.

Evaluators keep only the data of their metric (arrays, run-length codes, counts), never images.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from app.engine.errors import DatasetError, EngineError
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord

logger = logging.getLogger(__name__)

T = TypeVar("T")

Results = dict[str, dict[str, float]]
"""Family ('bbox', 'segm', ...) -> metric ('AP', 'AP-<class>', ...) -> number; nan: not defined."""


class Evaluator(Protocol):
    """One family of metrics over a data set."""

    def add(self, record: ImageRecord, detections: Detections) -> None:
        """Add one image's detections, in pixels of the record's image."""
        ...

    def state(self) -> Any:
        """Return everything added so far, picklable, for `merge` in another process."""
        ...

    def merge(self, states: Sequence[Any]) -> None:
        """Replace the data by the union of `states`; without any, drop everything."""
        ...

    def results(self) -> Results:
        """Return the metrics over all images added."""
        ...


class ByImage(Generic[T]):
    """The part of an evaluator that keeps a value for every image, by image id."""

    def __init__(self) -> None:
        self.images: dict[int | str, T] = {}

    def state(self) -> dict[int | str, T]:
        """Return the values for `merge` in another process."""
        return self.images

    def merge(self, states: Sequence[dict[int | str, T]]) -> None:
        """Unite the values of several processes; a repeated image counts once."""
        self.images = {key: value for state in states for key, value in state.items()}


class Coverage(ByImage[bool]):
    """Records which images were evaluated; it has no metric. Unreadable images are missing."""

    def add(self, record: ImageRecord, detections: Detections) -> None:
        """Record the image."""
        self.images[record.image_id] = True

    def results(self) -> Results:
        """Return no metrics."""
        return {}

    def require_any(self, records: Sequence[ImageRecord]) -> None:
        """Raise DatasetError if no image was evaluated; log how many are missing."""
        missing = [record for record in records if record.image_id not in self.images]
        if not missing:
            return
        if len(missing) == len(records):
            raise DatasetError(
                f"none of the {len(records)} images to evaluate on can be read, for example "
                f"{missing[0].path}; repair the data set or check that it is still there"
            )
        logger.warning(
            "%d images could not be evaluated: the metrics are over %d of %d images, and %d objects"
            " of the others are left out",
            len(missing),
            len(records) - len(missing),
            len(records),
            sum(len(record) for record in missing),
        )


@dataclass(frozen=True, slots=True)
class ClassResult:
    """The results of one class, at IoU 0.5 except for `ap`.

    num_objects        labelled objects, without crowds and difficult ones
    ap, ap50           0..100; nan without objects
    best_f1            highest F1 over all score thresholds, 0..1; 0 without a correct detection
    best_score_thresh  the threshold of `best_f1`
    precision, recall  values at that threshold, 0..1
    """

    num_objects: int
    ap: float
    ap50: float
    best_f1: float
    best_score_thresh: float
    precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The results of one evaluation.

    metrics         'bbox/AP' -> 0..100, 'bbox/AP-<class>', ...; nan where undefined
    per_class       class name -> result (box detectors only)
    tp, fp, fn      counts at IoU 0.5 and `score_thresh`, over all classes
    num_images      number of images that were evaluated
    """

    metrics: dict[str, float]
    per_class: dict[str, ClassResult] = field(default_factory=dict)
    tp: int = 0
    fp: int = 0
    fn: int = 0
    score_thresh: float = 0.0
    num_images: int = 0


def flatten(results: Results) -> dict[str, float]:
    """{'bbox': {'AP': 1.0}} -> {'bbox/AP': 1.0}."""
    return {
        f"{family}/{key}": value for family, row in results.items() for key, value in row.items()
    }


def with_augmented(plain: Evaluation, augmented: Evaluation) -> Evaluation:
    """Return `plain` with the metrics of test-time augmentation added as 'bbox_TTA/AP'."""
    parts = [(name.partition("/"), value) for name, value in augmented.metrics.items()]
    renamed = {f"{family}_TTA{slash}{key}": value for (family, slash, key), value in parts}
    return replace(plain, metrics=plain.metrics | renamed)


def log_copypaste(results: Results) -> None:
    """Log three lines for each family, in the form of a spreadsheet, without per-class numbers."""
    for family, row in results.items():
        important = {key: value for key, value in row.items() if "-" not in key}
        logger.info("copypaste: Task: %s", family)
        logger.info("copypaste: %s", ",".join(important))
        logger.info("copypaste: %s", ",".join(f"{value:.4f}" for value in important.values()))


def verify_results(
    expected: Sequence[tuple[str, str, float, float]], metrics: Mapping[str, float]
) -> None:
    """Compare `metrics` with TEST.EXPECTED_RESULTS: rows of family, metric, value, tolerance."""
    wrong = []
    for family, metric, value, tolerance in expected:
        actual = metrics.get(f"{family}/{metric}", math.nan)
        if not math.isfinite(actual) or abs(actual - value) > tolerance:
            wrong.append(f"{family}/{metric} is {actual:.4f}, expected {value} +- {tolerance}")
    if wrong:
        raise EngineError(
            f"TEST.EXPECTED_RESULTS: {'; '.join(wrong)}; "
            "correct the expectation or find what changed the model"
        )
    if expected:
        logger.info("Results verification passed.")
