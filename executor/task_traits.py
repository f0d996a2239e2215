"""What a task declares beside its code; `make generate` copies it into `task_models.py`."""

from dataclasses import dataclass

from executor.hyperparameters import Hyperparameters


@dataclass(frozen=True, kw_only=True)
class TaskTraits:
    """A task of the platform's protocol.

    settings     the model of its config.yaml, one of `executor/hyperparameters.py`
    result_file  default place of its result below /out; without this file it counts as failed
    runs_alone   no other task can be asked for in the same run
    """

    settings: type[Hyperparameters]
    result_file: str
    runs_alone: bool = False
