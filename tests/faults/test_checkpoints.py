"""Damaged checkpoints at every place: the one before is taken, nothing crashes."""

import random
from pathlib import Path

import pytest
import torch

from app.engine.checkpoint.store import CheckpointStore


def two_checkpoints(directory: Path) -> tuple[CheckpointStore, Path]:
    """A store of states 1 and 2, and the file of the second."""
    store = CheckpointStore(directory)
    for number in (1, 2):
        store.save({"number": number, "weights": torch.arange(500.0) * number})
    newest = max(directory.glob("*.pt"), key=lambda path: path.stat().st_mtime_ns)
    return store, newest


@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_damage_at_two_hundred_places_gives_the_checkpoint_before(tmp_path: Path, how: str):
    store, newest = two_checkpoints(tmp_path)
    whole = newest.read_bytes()
    rng = random.Random(0)
    for place in rng.sample(range(len(whole)), 200):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        newest.write_bytes(whole[:place] if how == "cut" else bytes(damaged))
        state = store.load()
        assert state is not None
        assert state["number"] == 1
    newest.write_bytes(whole)
    assert store.load()["number"] == 2
