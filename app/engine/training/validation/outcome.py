"""Why an evaluation in the middle of a training has no numbers, or not all of them."""

import traceback
from dataclasses import dataclass
from typing import Self

from app.engine.errors import EngineError, is_out_of_memory
from app.engine.evaluation.evaluator import Evaluation
from common.text import first_line


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
