"""The images to mine or to infer, streamed from the index; memory does not hold the list.

What is found in each goes to a journal, so that a run which was killed goes on where it was.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from app.engine.data.problems import Problems
from app.engine.errors import ImageError
from app.tasks.finder import Finder
from app.tasks.stop_flag import stop_flag
from executor.dataset_reader import Asset, CandidateIndex
from executor.errors import StoppedError
from executor.journal import Journal
from executor.monitor import Progress

logger = logging.getLogger(__name__)

T = TypeVar("T")

Entry = Callable[[Asset, T | None], str]
"""Puts into one line what was found in an image (None: it is unreadable)."""


class Candidates(CandidateIndex):
    """Each candidate once, in the index's order; can be walked through several times."""

    def __init__(self, index_file: Path | None) -> None:
        super().__init__(index_file)
        self.problems = Problems()
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

        Recorded are whole groups of the finder's size. StoppedError when asked to stop.
        """
        if journal.num_done:
            logger.info(
                "%s of %s images were finished by an earlier run; going on from there",
                f"{journal.num_done:,}",
                f"{len(self):,}",
            )
        start = journal.num_done
        found = zip(self.since(start), finder.since(self, start), strict=True)
        group: list[str] = []
        with stop_flag() as should_stop:
            for number, (asset, result) in enumerate(found, start=start + 1):
                if isinstance(result, ImageError):
                    self.problems.add("unreadable image", str(result))
                    group.append(entry(asset, None))
                else:
                    group.append(entry(asset, result))
                if len(group) == finder.group_size:
                    journal.add(group)
                    group.clear()
                progress(number / len(self))
                if should_stop():
                    raise StoppedError(
                        f"stopped as asked after {journal.num_done:,} of {len(self):,} images; "
                        "start the run again with the same /out to go on"
                    )
        journal.add(group)
        self.problems.report(logger)
