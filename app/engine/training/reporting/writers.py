"""Writes the numbers and pictures of a run to metrics.json and TensorBoard's event files."""

import json
import logging
import math
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

import numpy as np
import numpy.typing as npt

from app.engine.training.reporting.scalars import WINDOW, Scalars

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)


class Writers:
    """Appends the new values of `scalars` to the files.

    A full disk, or a mount that cannot append to files, must not end a training run: after the
    first failure, numbers are only logged.
    """

    _metrics: TextIO | None = None
    _board: "SummaryWriter | None" = None

    def __init__(
        self,
        scalars: Scalars,
        *,
        metrics_file: Path,
        tensorboard_dir: Path | None,
        start_iteration: int = 0,
        window: int = WINDOW,
    ) -> None:
        self.scalars = scalars
        self.window = window
        self._written: dict[str, int] = {}
        self._broken = False
        try:
            metrics_file.parent.mkdir(parents=True, exist_ok=True)
            self._metrics = metrics_file.open("a", encoding="utf-8")
            self._board = _open_board(tensorboard_dir, start_iteration)
        except OSError as failure:
            self._report(failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._metrics is not None:
                self._metrics.close()
            if self._board is not None:
                self._board.close()
        except OSError as failure:
            self._report(failure)

    def write(self) -> None:
        """Write all values newer than the last call, except infinite ones and NaN."""
        rows = self.scalars.news(self._written, window=self.window)
        if not rows or self._broken or self._metrics is None:
            return
        try:
            for iteration, row in rows.items():
                self._written |= dict.fromkeys(row, iteration)
                finite = {k: v for k, v in row.items() if math.isfinite(v)}
                self._write_row(self._metrics, iteration, finite)
            self._metrics.flush()
        except OSError as failure:
            self._report(failure)

    def _write_row(self, metrics: TextIO, iteration: int, row: dict[str, float]) -> None:
        line = json.dumps({**row, "iteration": iteration}, sort_keys=True)
        metrics.write(line + "\n")
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(name, value, iteration)

    def picture(self, name: str, image: npt.NDArray[np.uint8], iteration: int) -> None:
        """Write an (H, W, 3) RGB picture, to TensorBoard only."""
        if self._board is None or self._broken:
            return
        try:
            self._board.add_image(name, image, iteration, dataformats="HWC")
        except OSError as failure:
            self._report(failure)

    def _report(self, failure: OSError) -> None:
        if not self._broken:
            logger.warning("metrics and TensorBoard files are not written any more: %s", failure)
        self._broken = True


def _open_board(directory: Path | None, start_iteration: int) -> "SummaryWriter | None":
    if directory is None:
        return None
    # Imported here because the import takes a second, which only training needs to spend.
    from torch.utils.tensorboard import SummaryWriter

    directory.mkdir(parents=True, exist_ok=True)
    if getattr(threading.excepthook, "func", None) is not _leave_out_boards:
        threading.excepthook = partial(_leave_out_boards, threading.excepthook)
    # `purge_step` hides the values that an interrupted run wrote after its last checkpoint.
    return SummaryWriter(
        log_dir=str(directory), purge_step=start_iteration if start_iteration else None
    )


def _leave_out_boards(
    hook: Callable[[threading.ExceptHookArgs], Any], arguments: threading.ExceptHookArgs
) -> None:
    """A `threading.excepthook` without disk errors of TensorBoard: its next call raises them."""
    is_boards = type(arguments.thread).__name__ == "_AsyncWriterThread"
    if not (is_boards and issubclass(arguments.exc_type, OSError)):
        hook(arguments)
