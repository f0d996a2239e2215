"""Signals before and after the first look at the flag."""

import os
import signal

import pytest

from app.tasks.stop_flag import stop_flag


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_remembered_from_the_first_question_on(number: signal.Signals):
    before = signal.getsignal(number)
    with stop_flag() as should_stop:
        assert signal.getsignal(number) is before
        assert not should_stop()
        os.kill(os.getpid(), number)
        assert should_stop()
    assert signal.getsignal(number) is before
