"""Copies of the TRAITS of tasks, and keys of env.yaml; `make generate` writes them."""

from pathlib import Path

from pydantic import BaseModel

from executor.hyperparameters import (
    InferHyperparameters,
    MiningHyperparameters,
    TrainHyperparameters,
)
from executor.task_traits import TaskTraits
from executor.task_words import Task

TRAITS = {
    Task.TRAINING: TaskTraits(
        settings=TrainHyperparameters, result_file="models/result.yaml", runs_alone=True
    ),
    Task.MINING: TaskTraits(settings=MiningHyperparameters, result_file="result.tsv"),
    Task.INFER: TaskTraits(settings=InferHyperparameters, result_file="infer-result.json"),
}


class Flags(BaseModel):
    """The tasks that env.yaml asks for."""

    run_training: bool = False
    run_mining: bool = False
    run_infer: bool = False


class ResultFiles(BaseModel):
    """The result of each task."""

    training_result_file: Path = Path("/out", TRAITS[Task.TRAINING].result_file)
    mining_result_file: Path = Path("/out", TRAITS[Task.MINING].result_file)
    infer_result_file: Path = Path("/out", TRAITS[Task.INFER].result_file)
