"""What a strategy is given and what it gives back. It never meets the predictor or a file.

K: foreground classes; R: detections of one image
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from app.engine.errors import ConfigError
from app.engine.mining._aggregate import AGGREGATES, EMPTY_POLICIES
from app.engine.mining._augment import VIEWS
from app.engine.structures.detections import Detections


@dataclass(frozen=True, slots=True)
class Candidate:
    """One unlabelled image.

    image  (C, H, W) uint8 at the network's size; empty for a strategy that does not look
    seed   64 bits that depend on the run's seed and the file name only
    """

    image: Tensor
    seed: int


@dataclass(frozen=True, slots=True)
class MiningOptions:
    """How a strategy turns an image into one number.

    aggregate      how the uncertainties of the objects in an image become one: see `AGGREGATES`
    empty_policy   where an image without any detection ranks: see `EMPTY_POLICIES`
    class_weights  one weight for each class (aldd only); empty: all alike
    score_thresh   detections below it do not count
    views          the augmented views cald compares with: see `VIEWS`
    """

    aggregate: str = "topk"
    empty_policy: str = "low"
    class_weights: tuple[float, ...] = ()
    score_thresh: float = 0.05
    views: tuple[str, ...] = ("flip", "resize", "colour")

    def __post_init__(self) -> None:
        _check_choice("aggregate", self.aggregate, AGGREGATES)
        _check_choice("empty_policy", self.empty_policy, EMPTY_POLICIES)
        for view in self.views:
            _check_choice("views", view, VIEWS)
        if not self.views:
            raise ConfigError(f"views is empty; name at least one of {', '.join(VIEWS)}")
        if self.class_weights and not (min(self.class_weights) >= 0 < sum(self.class_weights)):
            raise ConfigError(
                f"class_weights are {self.class_weights}; "
                "give numbers that are not negative, with at least one above 0"
            )


class MiningModel(Protocol):
    """What a strategy may ask of a detector, a batch at a time."""

    @property
    def num_classes(self) -> int:
        """K."""
        ...

    def detect(self, images: Sequence[Tensor]) -> list[Detections]:
        """Detections with `class_probs`, on the CPU, in the pixels of each given image."""
        ...

    def dense_class_probs(self, images: Sequence[Tensor]) -> list[list[Tensor]]:
        """For each image one map of probabilities for each level: (K or 1, h, w), no padding."""
        ...


Score = Callable[[Sequence[Candidate], MiningModel, MiningOptions], list[float | None]]
"""A number for each candidate, higher = label first; None where the model found nothing."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to choose, with what settings and documents have to know of it.

    score           the formula
    prefers         which images it puts first, in a few words
    about           what the score of an image is
    advice          when to choose it
    uses            which of `aggregate`, `empty_policy`, `class_weights`, `seed` change the scores
    passes          how often the model looks at an image
    uses_model      False: candidates come without pixels, and the model never runs
    is_uncertainty  images of which the model is unsure come before those of which it is sure
    usual_range     the lowest and highest score of images with detections
    """

    score: Score
    prefers: str = ""
    about: str = ""
    advice: str = ""
    uses: tuple[str, ...] = ()
    passes: str = "1"
    uses_model: bool = True
    is_uncertainty: bool = True
    usual_range: tuple[float, float] = (0.0, 1.0)


def _check_choice(name: str, value: str, choices: Collection[str]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} {value!r} is unknown; choose one of {', '.join(choices)}")
