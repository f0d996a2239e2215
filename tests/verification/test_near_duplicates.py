"""The recorded measurements hold for the thresholds in use, and a small one is made here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.engine.data.near_duplicates import MAX_DIFFERING, MIN_COSINE
from verification.json_lines import read
from verification.near_duplicates import COPIES, RECORDS, measure, row


@pytest.mark.parametrize("record", read(RECORDS), ids=lambda record: str(record["set"]))
def test_recorded_measurements(record: dict[str, Any]) -> None:
    thresholds = (record["min_cosine"], record["max_differing"])
    assert thresholds == (MIN_COSINE, MAX_DIFFERING), "measure again"
    assert set(record["recall"]) == set(COPIES)
    assert min(record["recall"].values()) >= 0.95
    assert record["merged"] + record["confused"] <= 0.01 * record["images"]


def test_a_small_measurement(tmp_path: Path) -> None:
    for seed in range(3):
        coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        spots = Image.fromarray(coarse).resize((200, 150), Image.Resampling.BICUBIC)
        spots.save(tmp_path / f"{seed}.png")
    Image.open(tmp_path / "2.png").save(tmp_path / "copy of 2.webp")
    record = measure("spots", tmp_path)
    assert record["recall"] == dict.fromkeys(COPIES, 1.0)
    assert record["groups"] == [["2.png", "copy of 2.webp"]]
    assert (record["images"], record["merged"], record["confused"]) == (4, 2, 0)
    assert row(record).startswith("| spots | 4 | 100.0 % | ")
