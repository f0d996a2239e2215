"""Mining strategies, one per file: they choose the unlabelled images to label first.

A strategy gives every candidate a finite score; images with higher scores are labelled first.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from app.engine.errors import ConfigError, ImageError
from app.engine.mining import aldd, cald, entropy, least_confidence, margin, random
from app.engine.mining._aggregate import AGGREGATES, EMPTY_POLICIES
from app.engine.mining._augment import VIEWS
from app.engine.mining._score_files import score_stream
from app.engine.mining._strategy import MiningOptions, Strategy
from app.engine.predictor import Predictor

__all__ = ["AGGREGATES", "EMPTY_POLICIES", "STRATEGIES", "VIEWS", "MiningOptions", "score_files"]

STRATEGIES: dict[str, Strategy] = {
    "entropy": entropy.STRATEGY,
    "least_confidence": least_confidence.STRATEGY,
    "margin": margin.STRATEGY,
    "cald": cald.STRATEGY,
    "aldd": aldd.STRATEGY,
    "random": random.STRATEGY,
}
"""The values of `mining_algorithm`."""


def score_files(
    strategy_name: str,
    predictor: Predictor | None,
    paths: Iterable[Path],
    *,
    num_workers: int = 0,
    seed: int = 0,
    options: MiningOptions | None = None,
) -> Iterator[tuple[Path, float | ImageError]]:
    """Yield each file with its finite score (higher = label first) or the reason it has none.

    The files are streamed in the order of `paths`: memory does not grow with their number. Wrong
    options raise at once. `predictor` may be None for a strategy without `uses_model`.
    """
    if strategy_name not in STRATEGIES:
        raise ConfigError(
            f"mining strategy {strategy_name!r} is unknown; choose one of {', '.join(STRATEGIES)}"
        )
    return score_stream(
        STRATEGIES[strategy_name],
        predictor,
        paths,
        num_workers=num_workers,
        seed=seed,
        options=options or MiningOptions(),
    )
