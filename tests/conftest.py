"""Fixtures for all tests; one of them fails a test that writes to /in or /out of the machine."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from verification.reliability.trees import save_untrained

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


@pytest.fixture(scope="session")
def finding_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with the light model, untrained, that finds 100 boxes everywhere."""
    folder = tmp_path_factory.mktemp("finding")
    weights, _ = save_untrained(folder)
    content = torch.load(weights, weights_only=False)
    content["model"]["head.cls_score.bias"] += 9.0
    torch.save(content, weights)
    return folder
