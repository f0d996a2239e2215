"""Random order: the baseline every other strategy has to beat. The model never runs."""

from collections.abc import Sequence

from app.engine.mining._strategy import Candidate, MiningModel, MiningOptions


def score(
    candidates: Sequence[Candidate], model: MiningModel, options: MiningOptions
) -> list[float | None]:
    """A uniform number in [0, 1) that depends on the seed and the file name only."""
    return [candidate.seed / 2**64 for candidate in candidates]
