"""SIGTERM and SIGINT as counted events that a select loop can wait for; standard library only."""

import os
import signal
from contextlib import suppress
from types import FrameType


class StopSignals:
    """Install the handlers; SIGCHLD wakes the loop too but is not counted."""

    def __init__(self) -> None:
        self.count = 0
        self.name = ""
        self.descriptor, writer = os.pipe()
        for descriptor in (self.descriptor, writer):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def drain(self) -> None:
        """Forget wake-ups; `count` stays."""
        with suppress(BlockingIOError):
            while os.read(self.descriptor, 512):
                pass

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self.name = self.name or signal.Signals(number).name
