"""The steps that infer and mining share, from the candidates to the result.

    candidates   the images of the index, each once, sorted                  executor.candidates
    finder       processes each image, on one device or on several           app.tasks.finder
    journal      the findings on disk, one line for each, group by group     executor.journal
    result       the file that the platform reads, made from the journal     app.tasks.infer, mining

Only whole groups are recorded, and a group with an open entry is processed again as a whole: the
last bits of a result depend on the other images of the batch. So a run that was killed and resumed
writes the same bytes as a run without interruption.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, Generic, TypeVar

from app.engine.errors import DoesNotFitError, ImageError, StorageError
from app.tasks.devices import device_ids, device_names
from app.tasks.finder import Device, DeviceFinder, Finder, Work, open_finder
from app.tasks.run_fingerprint import run_fingerprint
from app.tasks.stop_flag import stop_flag
from app.tasks.unreadable import Unreadable
from app.tasks.workers import limited_workers
from common.progress import Progress, span
from executor import errors as contract
from executor.candidates import Candidates
from executor.dataset_reader import Asset
from executor.env import Env
from executor.hyperparameters import InferHyperparameters, MiningHyperparameters
from executor.journal import NO_RESULT, OPEN, RESULT, Journal
from executor.task_words import Task

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Result(ABC, Generic[T]):
    """Turn the findings into entries of the journal, and those into the result file."""

    @abstractmethod
    def entry(self, asset: Asset, found: T | ImageError) -> str:
        """Return one line with the findings of an image, or for an image that has none."""

    @abstractmethod
    def publish(self, candidates: Candidates, journal: Journal) -> None:
        """Write the result's file from an entry for each candidate, and log the numbers."""


@dataclass(frozen=True)
class CandidateTask(ABC, Generic[T]):
    """The differences of infer and mining; picklable, as each device may get a process."""

    task: ClassVar[Task]
    env: Env
    hp: InferHyperparameters | MiningHyperparameters

    @property
    def uses_model(self) -> bool:
        """Whether the findings depend on a model."""
        return True

    @abstractmethod
    def open_on(self, device: Device) -> DeviceFinder[T]:
        """Open the finder for a device, in the process that uses it."""

    @abstractmethod
    def result(self, class_names: Sequence[str]) -> Result[T]:
        """Return the result for the findings of a model with these classes."""


def go_through_candidates(task: CandidateTask[T], progress: Progress) -> None:
    """Process every candidate and publish the result.

    The journal stays until the supervisor has seen the end of the run, so that a killed run of two
    tasks repeats neither.
    """
    env = task.env
    candidates = Candidates(env.input.candidate_index_file)
    if not len(candidates):
        logger.warning("%s lists no images: the result is empty", env.input.candidate_index_file)
    with ThreadPoolExecutor(1) as aside:
        # The files are read while libraries and the model are loaded.
        fingerprint = aside.submit(
            run_fingerprint, env, task.task, task.hp, uses_model=task.uses_model
        )
        with (
            open_finder(task.open_on, _devices(task, len(candidates))) as finder,
            closing(
                Journal(env.output.root_dir, task.task.value, fingerprint.result(), len(candidates))
            ) as journal,
        ):
            progress(0.02)
            result = task.result(finder.class_names)
            _find_missing(candidates, finder, journal, result, span(progress, 0.02, 0.98))
            result.publish(candidates, journal)
    progress(1.0)


def _devices(task: CandidateTask[T], num_images: int) -> list[Device]:
    names = device_names(device_ids(task.hp)) if task.uses_model else ["cpu"]
    num_workers = limited_workers(task.hp.num_workers, processes=len(names))
    return [Device(name, num_workers, num_images) for name in names]


def _find_missing(
    candidates: Candidates,
    finder: Finder[T],
    journal: Journal,
    result: Result[T],
    progress: Progress,
) -> None:
    """Complete the journal, so that it has an entry for each candidate.

    StoppedError if asked to stop; ImageError if no image can be read or too many are lost;
    OutOfMemoryError if no image fits into memory.
    """
    if journal.num_earlier:
        logger.info(
            "%s of %s images were finished by an earlier run; going on from there",
            f"{journal.num_earlier:,}",
            f"{len(candidates):,}",
        )
    work = Work(candidates, finder.group_size, journal.groups_to_do(finder.group_size))
    unreadable = Unreadable(len(candidates), any_earlier=journal.num_results > 0)
    try:
        _look(work, finder, journal, result, unreadable, progress)
        unreadable.require_any(journal.num_results)
    except (contract.ImageError, contract.OutOfMemoryError):
        if not journal.num_results:
            journal.clear()  # so that the next run, after a repair, tries all again
        raise
    finally:
        unreadable.report()


def _look(
    work: Work,
    finder: Finder[T],
    journal: Journal,
    result: Result[T],
    unreadable: Unreadable,
    progress: Progress,
) -> None:
    """Process the groups of `work` and record each when it is complete."""
    num_images = len(work.candidates)
    num_looked_at = num_images - len(work)
    stream = zip(work, finder.look_at(work), strict=True)
    with stop_flag() as should_stop:
        for group in work.groups():
            entries, marks = [], b""
            for asset, found in islice(stream, len(group)):
                unreadable.note(found if isinstance(found, ImageError) else None)
                entries.append(result.entry(asset, found))
                marks += _mark(found)
                if len(entries) == len(group):
                    journal.add(group.start, entries, marks)
                num_looked_at += 1
                progress(num_looked_at / num_images)
                if should_stop():
                    raise contract.StoppedError(
                        f"stopped as asked after {journal.num_done:,} of {num_images:,} images; "
                        "start the run again with the same /out to go on"
                    )


def _mark(found: object) -> bytes:
    if isinstance(found, StorageError | DoesNotFitError):
        return OPEN
    return NO_RESULT if isinstance(found, ImageError) else RESULT
