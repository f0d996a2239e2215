"""A process that runs one function, with a pipe to it."""

import os
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from common.processes import follow


class Child:
    """A process that follows this one and ends with it (`common.processes.follow`)."""

    def __init__(self, serve: Callable[..., None], *arguments: Any, name: str) -> None:
        """Start `serve(its_end_of_the_pipe, *arguments)`; all of them must be picklable."""
        context = get_context("spawn")  # CUDA does not survive a fork
        self.connection, its_end = context.Pipe()
        # Not a daemon: a daemon may not start processes.
        self.process: BaseProcess = context.Process(
            target=_serve, args=(os.getpid(), serve, its_end, arguments), name=name, daemon=False
        )
        self.process.start()
        its_end.close()  # so that its death ends the stream

    def end(self, *, patience_s: float = 0.0) -> None:
        """Wait `patience_s` seconds for the process to end by itself, then kill it."""
        self.process.join(timeout=patience_s)
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(
    parent: int, serve: Callable[..., None], connection: Connection, arguments: tuple[Any, ...]
) -> None:
    follow(parent)
    serve(connection, *arguments)
