import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.channel import Failure, Report, Reporter, ReportReader
from executor.errors import ExecutorError, OutOfMemoryError


def received(descriptor: int) -> list[Report]:
    return list(ReportReader().feed(os.read(descriptor, 1 << 20)))


def test_round_trip():
    reading, writing = os.pipe()
    reporter = Reporter(writing)
    reporter.progress(0.25)
    reporter.failure(OutOfMemoryError("memory ran out: größe"))
    assert received(reading) == [
        Report(progress=0.25),
        Report(failure=Failure(300103, 6, "memory ran out: größe")),
    ]
    os.close(reading)
    os.close(writing)


def test_frequent_reports_are_thinned_but_the_last_step_arrives():
    reading, writing = os.pipe()
    reporter = Reporter(writing)
    for step in range(1001):
        reporter.progress(step / 1000)
    reports = received(reading)
    assert len(reports) < 20
    assert reports[-1] == Report(progress=1.0)
    os.close(reading)
    os.close(writing)


def test_a_line_is_written_in_one_piece():
    reading, writing = os.pipe()
    Reporter(writing).failure(ExecutorError("\0ü" * 100_000))
    data = os.read(reading, 1 << 20)
    assert len(data) < 4096
    assert data.endswith(b"\n")
    os.close(reading)
    os.close(writing)


def test_nobody_listens():
    Reporter(None).progress(0.5)
    reading, writing = os.pipe()
    os.close(reading)
    reporter = Reporter(writing)
    reporter.progress(0.5)
    reporter.failure(OutOfMemoryError("nor this"))  # the second time, too
    with pytest.raises(BrokenPipeError):
        os.write(writing, b"x")  # nobody listens, indeed
    os.close(writing)


def test_failures_become_their_errors_again():
    error = Failure(300103, 6, "why").as_error()
    assert type(error) is OutOfMemoryError
    assert str(error) == "why"
    assert type(Failure(1, 2, "why").as_error()) is ExecutorError


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"no json", id="text"),
        pytest.param(b"[1]", id="list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"{}", id="nothing"),
        pytest.param(b'{"progress": "fast"}', id="wrong type"),
        pytest.param(b'{"failure": {"code": 1}}', id="half a failure"),
        pytest.param(b"\xff\xfe", id="bytes"),
    ],
)
def test_other_lines_are_skipped(line: bytes):
    assert list(ReportReader().feed(line + b"\n" + b'{"progress": 1}\n')) == [Report(1.0)]


@given(st.lists(st.floats(0, 1), max_size=5), st.integers(1, 7))
def test_pieces_of_any_size(fractions: list[float], piece: int):
    data = b"".join(json.dumps({"progress": f}).encode() + b"\n" for f in fractions)
    reader = ReportReader()
    pieces = [data[i : i + piece] for i in range(0, len(data), piece)]
    reports = [report for part in pieces for report in reader.feed(part)]
    assert [report.progress for report in reports] == fractions
