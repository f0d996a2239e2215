"""The outcome of an evaluation during training: its metrics, or why some are missing."""

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
    """Why an evaluation, or a part of it, failed.

    reason         one line
    trace          traceback; empty for errors of data, settings or memory
    """

    reason: str
    out_of_memory: bool = False
    trace: str = ""

    @classmethod
    def of(cls, error: Exception) -> Self:
        """Return the failure that `error` describes."""
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
    """The metrics of an evaluation, or why some or all of them are missing."""

    evaluation: Evaluation | None = None
    failure: Failure | None = None

    @property
    def num_images(self) -> int:
        """Number of images in the metrics."""
        return 0 if self.evaluation is None else self.evaluation.num_images


class Attempts:
    """Runs work in all processes that may fail without ending the run."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.failures: list[Failure] = []

    @property
    def main_failure(self) -> Failure | None:
        """The first failure, but a lack of memory first, since the user can solve that."""
        return min(self.failures, key=lambda failure: not failure.out_of_memory, default=None)

    def together(
        self, what: str, work: Callable[[], T], combine: Callable[[list[T]], R]
    ) -> R | None:
        """Return `combine` of the results of `work` in all processes; None but in the first.

        If any process fails, the failure is logged and kept, and the result is None.
        """
        outcome: T | Failure
        try:
            outcome = work()
        except Exception as error:  # the other processes wait for a result in any case
            outcome = Failure.of(error)
        gathered = self.ranks.gather(outcome)
        if gathered is None:
            return None
        failure = next((result for result in gathered if isinstance(result, Failure)), None)
        if failure is None:
            try:
                return combine([result for result in gathered if not isinstance(result, Failure)])
            except Exception as error:  # failed metrics must not end a training run
                failure = Failure.of(error)
        self.failures.append(failure)
        if failure.trace:
            logger.warning("The %s failed; training goes on:\n%s", what, failure.trace)
        else:
            logger.warning("The %s failed (%s); training goes on", what, failure.reason)
        return None
