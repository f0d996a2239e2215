"""Fixtures for all tests; one of them fails a test that writes to /in or /out of the machine."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

PLACES = (Path("/in"), Path("/out"))
"""Where a run looks and writes whose env.yaml says nothing; root may write there."""


def _times(place: Path) -> dict[str, int]:
    """When each file and folder below a place was changed; none where there is no such place.

    The place itself does not count: the client's tests make it for a while, to mount on it.
    """
    found = {}
    for folder, folders, names in os.walk(place):
        for path in (Path(folder) / name for name in (*folders, *names)):
            found[str(path)] = path.lstat().st_mtime_ns
    return found


@pytest.fixture(autouse=True)
def _real_folders_stay() -> Iterator[None]:
    before = {place: _times(place) for place in PLACES}
    yield
    for place, times in before.items():
        assert _times(place) == times, f"the test has written to {place}; give it a folder"
