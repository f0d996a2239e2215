import time

from common.progress import span, ticking


def test_span() -> None:
    told: list[float] = []
    inner = span(span(told.append, 0.5, 1.0), 0.0, 0.5)
    for fraction in (0.0, 0.5, 1.0):
        inner(fraction)
    assert told == [0.5, 0.625, 0.75]


def test_ticks_come_until_the_block_ends() -> None:
    ticks: list[int] = []
    with ticking(lambda: ticks.append(1), period=0.01):
        deadline = time.monotonic() + 10
        while len(ticks) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    number = len(ticks)
    assert number >= 3
    time.sleep(0.05)
    assert len(ticks) == number
