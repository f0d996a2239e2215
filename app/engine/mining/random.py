"""Random order: the baseline for all other strategies. The model never runs."""

from collections.abc import Sequence

from app.engine.mining._strategy import Candidate, MiningModel, MiningOptions, Strategy


def score(
    candidates: Sequence[Candidate], model: MiningModel, options: MiningOptions
) -> list[float | None]:
    """Return uniform numbers in [0, 1) that depend on the seed and the file name only."""
    return [candidate.seed / 2**64 for candidate in candidates]


STRATEGY = Strategy(
    score,
    about="uniform in [0, 1) from a hash of seed and file name; the model never runs",
    advice="as the baseline that every other strategy has to beat, and for a fair test set",
    uses=("seed",),
    passes="0",
    uses_model=False,
    is_uncertainty=False,
)
