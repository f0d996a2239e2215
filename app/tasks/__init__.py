"""The bridge: each task of the contract, done with the engine."""

from importlib import import_module

from app.engine.imports import lasting_imports
from common.progress import Progress
from executor.env import Env, Task

TASKS = {Task.TRAINING: "train", Task.MINING: "mining", Task.INFER: "infer"}
"""Module of each task; it has `run(env, progress)`."""


def run_task(task: Task, env: Env, progress: Progress) -> None:
    """Do one task; only its module is imported, because imports take start-up time."""
    with lasting_imports():
        module = import_module(f"{__name__}.{TASKS[task]}")
    module.run(env, progress)
