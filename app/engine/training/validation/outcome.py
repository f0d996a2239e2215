"""Why an evaluation in the middle of a training has no numbers, or not all of them."""

import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeVar

from app.engine.errors import EngineError, is_out_of_memory
from app.engine.evaluation.evaluator import Evaluation
from app.engine.training.process.ranks import Ranks
from common.text import first_line

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an evaluation, or a part of it, did not come to its end.

    reason         in one line
    trace          of what is no fault of data, settings or memory
    """

    reason: str
    out_of_memory: bool = False
    trace: str = ""

    @classmethod
    def of(cls, error: Exception) -> Self:
        """As told by what was raised."""
        if is_out_of_memory(error):
            return cls(first_line(error), out_of_memory=True)
        if isinstance(error, EngineError | InterruptedError):
            return cls(first_line(error))
        return cls(
            f"{type(error).__name__}: {first_line(error)}",
            trace="".join(traceback.format_exception(error)),
        )


@dataclass(frozen=True, slots=True)
class Validation:
    """The numbers, or why there are none or not all."""

    evaluation: Evaluation | None = None
    failure: Failure | None = None

    @property
    def num_images(self) -> int:
        """In the numbers."""
        return 0 if self.evaluation is None else self.evaluation.num_images


class Attempts:
    """Work of all processes together that may fail without ending the run."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.failures: list[Failure] = []

    @property
    def main_failure(self) -> Failure | None:
        """Of several, want of memory: somebody can do something about that."""
        return min(self.failures, key=lambda failure: not failure.out_of_memory, default=None)

    def together(
        self, what: str, work: Callable[[], T], combine: Callable[[list[T]], R]
    ) -> R | None:
        """In the first process `combine` of what `work` gives in all of them; None in the others.

        None also where something fails in any of them, which is logged and kept.
        """
        outcome: T | Failure
        try:
            outcome = work()
        except Exception as error:  # the others wait for this process whatever happens to it
            outcome = Failure.of(error)
        gathered = self.ranks.gather(outcome)
        if gathered is None:
            return None
        failure = next((result for result in gathered if isinstance(result, Failure)), None)
        if failure is None:
            try:
                return combine([result for result in gathered if not isinstance(result, Failure)])
            except Exception as error:  # metrics are never worth a training run
                failure = Failure.of(error)
        self.failures.append(failure)
        if failure.trace:
            logger.warning("The %s failed; training goes on:\n%s", what, failure.trace)
        else:
            logger.warning("The %s failed (%s); training goes on", what, failure.reason)
        return None
