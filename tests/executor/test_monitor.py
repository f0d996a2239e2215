import math
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.errors import ConfigError, OutOfMemoryError
from executor.monitor import Monitor, one_line


def fields(path: Path) -> list[str]:
    lines = path.read_text().split("\n")
    assert lines[-1] == ""
    return lines[0].split("\t")


def test_the_record(tmp_path: Path):
    path = tmp_path / "monitor.txt"
    monitor = Monitor(path, "t1", clock=lambda: 1700000000.25)
    monitor.running(0.5, "half")
    assert path.read_text() == "t1\t1700000000.250\t0.5000\t2\t0\thalf\n"


def test_a_failure_is_the_last_record(tmp_path: Path):
    path = tmp_path / "monitor.txt"
    monitor = Monitor(path, "t1")
    monitor.running(0.5)
    monitor.failed(OutOfMemoryError("memory ran out\nwhere\tand\x00why"), "line 1\n\nline\t2\n")
    monitor.running(0.9)
    monitor.failed(ConfigError("second"))
    task_id, _, fraction, state, code, message = fields(path)
    assert (task_id, fraction, state, code) == ("t1", "0.5000", "4", "300103")
    assert message == "memory ran out; where and why"
    assert path.read_text().split("\n")[1:] == ["line 1", "line 2", ""]


def test_a_failure_of_many_lines_starts_with_the_one_that_counts_them(tmp_path: Path):
    monitor = Monitor(tmp_path / "monitor.txt", "t1")
    monitor.failed(ConfigError("a: wrong\nb: wrong\n2 problems: a, b"))
    message = (tmp_path / "monitor.txt").read_text().rstrip("\n").split("\t")[5]
    assert message == "2 problems: a, b; a: wrong; b: wrong"


@pytest.mark.parametrize("is_failure", [False, True], ids=["done", "failed"])
def test_the_last_record_is_tried_again(tmp_path: Path, is_failure: bool):
    path = tmp_path / "out/monitor.txt"
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            path.parent.mkdir()

    monitor = Monitor(path, "t1", sleep=sleep)
    monitor.running(0.5)  # nothing is raised
    monitor.failed(ConfigError("x")) if is_failure else monitor.done()
    assert fields(path)[2:4] == (["0.5000", "4"] if is_failure else ["1.0000", "2"])
    assert len(pauses) == 2
    monitor.running(0.7)
    assert fields(path)[3] == ("4" if is_failure else "2")


def test_one_trouble_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "out/monitor.txt"
    monitor = Monitor(path, "t1")
    for fraction in (0.1, 0.2, 0.3):
        monitor.running(fraction)
    assert caplog.text.count("no record of the progress: ") == 1
    path.parent.mkdir()
    monitor.running(0.4)
    assert fields(path)[2] == "0.4000"
    path.unlink()
    path.mkdir()
    monitor.running(0.5)
    assert caplog.text.count("no record of the progress: ") == 2


def test_not_more_lines_than_are_read(tmp_path: Path):
    path = tmp_path / "monitor.txt"
    Monitor(path, "t").failed(ConfigError("x"), "\n".join(map(str, range(1000))))
    assert len(path.read_text().splitlines()) == 99


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=8),
    st.lists(st.floats(min_value=0, max_value=2e9), min_size=8, max_size=8),
    st.text(max_size=20),
)
@settings(max_examples=40, deadline=None)
def test_fractions_rise_and_times_change(
    tmp_path_factory: pytest.TempPathFactory,
    fractions: list[float],
    times: list[float],
    text: str,
):
    path = tmp_path_factory.getbasetemp() / "monitor.txt"
    clock = iter(times)
    monitor = Monitor(path, text, clock=lambda: next(clock))
    before = (-math.inf, -1.0)
    for fraction in fractions:
        monitor.running(fraction, text)
        record = fields(path)
        assert len(record) == 6
        assert 0 <= float(record[2]) <= 1
        assert float(record[2]) >= before[1]
        assert float(record[1]) > before[0]
        before = float(record[1]), float(record[2])


def test_readers_never_see_half_a_record(tmp_path: Path):
    path = tmp_path / "monitor.txt"
    monitor = Monitor(path, "t1")
    monitor.running(0)
    stop = threading.Event()
    seen: list[int] = []

    def poll() -> None:
        while not stop.is_set():
            seen.append(len(path.read_text().split("\t")))

    reader = threading.Thread(target=poll)
    reader.start()
    for step in range(100):
        monitor.running(step / 100, "x" * step)
    stop.set()
    reader.join()
    assert set(seen) == {6}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("a\tb\r\n\nc", "a b; c", id="breaks"),
        pytest.param("\x1b[31mred", " [31mred", id="terminal codes"),
        pytest.param("größe", "größe", id="letters stay"),
        pytest.param("x" * 600, "x" * 497 + "...", id="long"),
    ],
)
def test_one_line(text: str, expected: str):
    assert one_line(text) == expected
