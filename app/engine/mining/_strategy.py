"""The interface of a strategy, which knows neither the predictor nor files.

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

    image  (C, H, W) uint8 at the network's size; empty for a strategy without `uses_model`
    seed   64 bits that depend on the run's seed and the file name only
    """

    image: Tensor
    seed: int


@dataclass(frozen=True, slots=True)
class MiningOptions:
    """Options that control how a strategy scores an image.

    aggregate      how the uncertainties of the objects in an image are combined: `AGGREGATES`
    empty_policy   where an image without any detection ranks: see `EMPTY_POLICIES`
    class_weights  one weight for each class (aldd only); empty: equal weights
    score_thresh   detections with lower scores do not count
    views          the augmented views that cald compares with: see `VIEWS`
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
    """The functions of a detector that a strategy may call, with a batch of images."""

    @property
    def num_classes(self) -> int:
        """Number of foreground classes, K."""
        ...

    def detect(self, images: Sequence[Tensor]) -> list[Detections]:
        """Return detections with `class_probs`, on the CPU, in the pixels of each given image."""
        ...

    def dense_class_probs(self, images: Sequence[Tensor]) -> list[list[Tensor]]:
        """Return for each image the probabilities of each level: (K or 1, h, w), no padding."""
        ...


Score = Callable[[Sequence[Candidate], MiningModel, MiningOptions], list[float | None]]
"""Returns a number for each candidate, higher = label first; None without detections."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """A way to choose images, with its description for settings and documents.

    score           the formula
    prefers         the images that it ranks first, in a few words
    about           what the score of an image is
    advice          when to choose it
    uses            those of `aggregate`, `empty_policy`, `class_weights`, `seed` that it uses
    passes          number of forward passes for an image
    uses_model      False: candidates have no pixels, and the model never runs
    is_uncertainty  uncertain images rank before certain ones
    of_tiles        score of a photograph from those of its tiles, for a strategy that looks at more
                    than detections; None: the strategy scores the detections of all tiles together
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
    of_tiles: Callable[[Sequence[float]], float] | None = None
    usual_range: tuple[float, float] = (0.0, 1.0)


def _check_choice(name: str, value: str, choices: Collection[str]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} {value!r} is unknown; choose one of {', '.join(choices)}")
