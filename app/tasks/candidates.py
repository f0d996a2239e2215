"""The images to mine or to infer, streamed from the index; memory does not hold the list.

What is found in each goes to a journal, so that a run which was killed goes on where it was.
"""

import logging
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TypeVar

from app.engine.errors import DoesNotFitError, ImageError, StorageError
from app.tasks.finder import Finder, Work
from app.tasks.stop_flag import stop_flag
from app.tasks.unreadable import Unreadable
from executor import errors as contract
from executor.dataset_reader import Asset, CandidateIndex
from executor.journal import NO_RESULT, OPEN, RESULT, Journal
from executor.monitor import Progress

logger = logging.getLogger(__name__)

T = TypeVar("T")

Entry = Callable[[Asset, T | ImageError], str]
"""Puts into one line what was found in an image, or that it could not be read."""


class Candidates(CandidateIndex):
    """Each candidate once, in the index's order; can be walked through several times."""

    def __init__(self, index_file: Path | None) -> None:
        super().__init__(index_file)
        if not len(self):
            logger.warning("%s lists no images: the result is empty", index_file)

    def work_through(
        self,
        journal: Journal,
        finder: Finder[T],
        entry: Entry[T],
        *,
        progress: Progress,
    ) -> None:
        """Bring the journal's entries, one for each candidate, from where it stands to the end.

        Recorded are whole groups of the finder's size. Those with an image that the storage did not
        give to an earlier run are looked at again, first and as a whole: what is found in an image
        depends in its last bits on the images of its batch.

        StoppedError when asked to stop; ImageError where none can be read, or too many are lost;
        OutOfMemoryError where none fits into memory.
        """
        if journal.num_done:
            logger.info(
                "%s of %s images were finished by an earlier run; going on from there",
                f"{journal.num_done:,}",
                f"{len(self):,}",
            )
        unreadable = Unreadable(len(self), any_earlier=journal.num_results > 0)
        try:
            self._look(journal, finder, entry, unreadable, progress)
            unreadable.require_any(journal.num_results)
        except (contract.ImageError, contract.OutOfMemoryError):
            if not journal.num_results:
                journal.clear()  # whatever is repaired: the next run looks at all of them
            raise
        finally:
            unreadable.report()

    def _look(
        self,
        journal: Journal,
        finder: Finder[T],
        entry: Entry[T],
        unreadable: Unreadable,
        progress: Progress,
    ) -> None:
        work = Work(self, journal.num_entries, journal.open_groups())
        num_looked_at = len(self) - len(work)
        found = zip(work, finder.look_at(work), strict=True)
        with stop_flag() as should_stop:
            for group in work.groups(finder.group_size):
                entries, marks = [], ""
                for asset, result in islice(found, len(group)):
                    unreadable.note(result if isinstance(result, ImageError) else None)
                    entries.append(entry(asset, result))
                    marks += _mark(result)
                    if len(entries) == len(group):
                        journal.add(entries, marks, position=group.start)
                    num_looked_at += 1
                    progress(num_looked_at / len(self))
                    if should_stop():
                        raise contract.StoppedError(
                            f"stopped as asked after {journal.num_done:,} of {len(self):,} images; "
                            "start the run again with the same /out to go on"
                        )


def _mark(result: object) -> str:
    if isinstance(result, StorageError | DoesNotFitError):
        return OPEN
    return NO_RESULT if isinstance(result, ImageError) else RESULT
