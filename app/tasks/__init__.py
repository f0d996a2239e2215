"""The bridge: each task of the contract, done with the engine."""

from importlib import import_module

from app.engine.imports import lasting_imports
from common.progress import Progress
from executor.env import Env
from executor.task_words import Task

TASKS = {
    "training": "train",
    "mining": "mining",
    "infer": "infer",
}
"""Word of each task -> its module, which has TRAITS and `run(env, progress)`.

The order is that of their execution.
"""


def run_task(task: Task, env: Env, progress: Progress) -> None:
    """Do one task; only its module is imported, because imports take start-up time."""
    with lasting_imports():
        module = import_module(f"{__name__}.{TASKS[task.value]}")
    module.run(env, progress)
