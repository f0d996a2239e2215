"""The tasks of a run; `make generate` writes it from the tasks of app/tasks."""

from enum import Enum
from typing import Literal


class Task(Enum):
    """The tasks of a run in the order of their execution."""

    TRAINING = "training"
    MINING = "mining"
    INFER = "infer"

    @property
    def flag(self) -> str:
        """Key of env.yaml that asks for it."""
        return f"run_{self.value}"


TaskWord = Literal["training", "mining", "infer"]
