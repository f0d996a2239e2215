"""The infer task: objects in every candidate image -> infer-result.json."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.engine.errors import ImageError
from app.engine.trained.opening import OpenedModel
from app.tasks.candidate_task import CandidateTask, go_through_candidates
from app.tasks.finder import Device, DeviceFinder
from app.tasks.infer_results import BoxesResult, InferResult, MasksResult
from app.tasks.trained_model import open_infer_model
from common.progress import Progress
from executor.env import Env
from executor.hyperparameters import (
    INSTANCE_SEGMENTATION,
    InferHyperparameters,
    load_hyperparameters,
)
from executor.task_traits import TaskTraits
from executor.task_words import Task

TRAITS = TaskTraits(settings=InferHyperparameters, result_file="infer-result.json")


def run(env: Env, progress: Progress) -> None:
    """Detect objects in every candidate; unreadable ones are listed without objects."""
    hp = load_hyperparameters(env.input.config_file, InferHyperparameters)
    go_through_candidates(Infer(env, hp), progress)


@dataclass(frozen=True)
class Infer(CandidateTask[Any]):
    """The infer task: boxes or, for masks, segments; see `infer_results`."""

    hp: InferHyperparameters
    task = Task.INFER

    def open_on(self, device: Device) -> DeviceFinder[Any]:
        """See `CandidateTask`."""
        model = open_infer_model(
            self.env,
            self.hp,
            device=device.name,
            num_images=device.num_images,
            kind="boxes" if self._kind is BoxesResult else "masks",
        )
        return ObjectFinder(model, device.num_workers, self._kind.portable)

    def result(self, class_names: Sequence[str]) -> InferResult[Any]:
        """See `CandidateTask`."""
        return self._kind(self.env, self.hp, class_names)

    @property
    def _kind(self) -> type[InferResult[Any]]:
        return MasksResult if self.hp.object_type == INSTANCE_SEGMENTATION else BoxesResult


class ObjectFinder(DeviceFinder[Any]):
    """The detections of a model, in a form that can be sent between processes."""

    def __init__(
        self, model: OpenedModel, num_workers: int, portable: Callable[[Any], Any]
    ) -> None:
        self.class_names = model.class_names
        self.group_size = model.predictor.group_size
        self._predictor = model.predictor
        self._num_workers = num_workers
        self._portable = portable

    def find(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Any]]:
        """See `DeviceFinder`."""
        for path, found in self._predictor.detect_files(paths, num_workers=self._num_workers):
            yield path, found if isinstance(found, ImageError) else self._portable(found)
