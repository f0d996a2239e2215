"""The number of reader processes for a container of a given size."""

import pytest

from app.tasks import workers
from app.tasks.workers import limited_workers

GIB = 1 << 30


@pytest.mark.parametrize(
    ("cpus", "memory", "asked", "processes", "expected"),
    [
        pytest.param(2, None, 2, 1, 2, id="as asked"),
        pytest.param(1, None, 2, 1, 1, id="one processor"),
        pytest.param(16, None, 8, 4, 4, id="shared by four GPUs"),
        pytest.param(1, None, 2, 4, 1, id="never none for lack of processors"),
        pytest.param(8, GIB + GIB // 2, 8, 1, 2, id="little memory"),
        pytest.param(8, GIB // 2, 8, 1, 0, id="hardly any memory"),
        pytest.param(1, None, 0, 1, 0, id="none asked for"),
    ],
)
def test_readers(monkeypatch, caplog, cpus, memory, asked, processes, expected):
    monkeypatch.setattr(workers, "cpu_count", lambda: cpus)
    monkeypatch.setattr(workers, "memory_limit", lambda: memory)
    assert limited_workers(asked, processes=processes) == expected
    assert (f"{expected} processes read images, not {asked}" in caplog.text) == (expected < asked)
