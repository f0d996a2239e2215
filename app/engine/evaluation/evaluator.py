"""What every metric does: take images one by one, join what other processes saw, give numbers.

Evaluators keep only what their metric needs (arrays, run-length codes, counts), never images.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from app.engine.errors import DatasetError, EngineError
from app.engine.structures.detections import Detections
from app.engine.structures.sample import ImageRecord

logger = logging.getLogger(__name__)

T = TypeVar("T")

Results = dict[str, dict[str, float]]
"""Family ('bbox', 'segm', ...) -> metric ('AP', 'AP-<class>', ...) -> number; nan: not defined."""


class Evaluator(Protocol):
    """One family of metrics over a data set."""

    def add(self, record: ImageRecord, detections: Detections) -> None:
        """Take one image's detections, in pixels of the record's image."""
        ...

    def state(self) -> Any:
        """Everything taken so far, picklable, for `merge` in another process."""
        ...

    def merge(self, states: Sequence[Any]) -> None:
        """Replace what was taken by the union of `states`; of none: forget everything."""
        ...

    def results(self) -> Results:
        """The metrics over all images taken."""
        ...


class ByImage(Generic[T]):
    """The part of an evaluator that keeps something of every image, by image id."""

    def __init__(self) -> None:
        self.images: dict[int | str, T] = {}

    def state(self) -> dict[int | str, T]:
        """For `merge` in another process."""
        return self.images

    def merge(self, states: Sequence[dict[int | str, T]]) -> None:
        """The union of several processes; an image seen twice counts once."""
        self.images = {key: value for state in states for key, value in state.items()}


class Coverage(ByImage[bool]):
    """No metric: which images were seen. Those that cannot be read are in no metric either."""

    def add(self, record: ImageRecord, detections: Detections) -> None:
        """Note the image."""
        self.images[record.image_id] = True

    def results(self) -> Results:
        """None."""
        return {}

    def require_any(self, records: Sequence[ImageRecord]) -> None:
        """DatasetError where no image of the set was seen; what is missing goes to the log."""
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
    """How one class did at IoU 0.5.

    num_objects        labelled objects, without crowds and difficult ones
    ap, ap50           0..100; nan without objects
    best_f1            highest F1 over all score thresholds, 0..1; 0 when nothing was found
    best_score_thresh  the threshold that reaches it
    precision, recall  there, 0..1
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
    """Numbers of one evaluation.

    metrics         'bbox/AP' -> 0..100, 'bbox/AP-<class>', ...; nan where undefined
    per_class       class name -> result (box detectors only)
    tp, fp, fn      objects at IoU 0.5 and `score_thresh`, over all classes
    num_images      images that were evaluated
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
    """`plain`, with the metrics of test-time augmentation beside its own: 'bbox_TTA/AP'."""
    parts = [(name.partition("/"), value) for name, value in augmented.metrics.items()]
    renamed = {f"{family}_TTA{slash}{key}": value for (family, slash, key), value in parts}
    return replace(plain, metrics=plain.metrics | renamed)


def log_copypaste(results: Results) -> None:
    """Three log lines for each family, ready for a spreadsheet; per-class numbers are left out."""
    for family, row in results.items():
        important = {key: value for key, value in row.items() if "-" not in key}
        logger.info("copypaste: Task: %s", family)
        logger.info("copypaste: %s", ",".join(important))
        logger.info("copypaste: %s", ",".join(f"{value:.4f}" for value in important.values()))


def verify_results(
    expected: Sequence[tuple[str, str, float, float]], metrics: Mapping[str, float]
) -> None:
    """Hold `metrics` against TEST.EXPECTED_RESULTS: rows of family, metric, value, tolerance."""
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
