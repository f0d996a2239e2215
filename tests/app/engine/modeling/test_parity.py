"""Detections and losses against detectron2's, recorded on generated images and weights."""

from pathlib import Path

import pytest

from verification.parity.check import check_cases, check_training
from verification.parity.compare import compare_detections
from verification.parity.golden import load

ROOT = Path(__file__).parents[3] / "parity"
QUICK = {"retinanet_R_50_FPN_1x", "fcos_R_50_FPN_1x"}

NAMES = [
    pytest.param(path.stem, marks=[] if path.stem in QUICK else [pytest.mark.slow])
    for path in sorted(ROOT.glob("*.npz"))
]


@pytest.mark.parametrize("name", NAMES)
def test_detections(name):
    golden = load(ROOT / f"{name}.npz")
    for comparison in check_cases(golden):
        assert comparison.passed, comparison


@pytest.mark.parametrize("name", NAMES)
def test_losses(name):
    golden = load(ROOT / f"{name}.npz")
    if golden.training is None:
        pytest.skip("recorded without training")
    for comparison in check_training(golden, golden.training, steps=1):
        assert comparison.passed, comparison


def test_the_judge_notices_a_shift_of_two_pixels():
    (case, *_) = load(ROOT / "retinanet_R_50_FPN_1x.npz").cases
    moved = case.expected | {"boxes": case.expected["boxes"] + 2.0}
    assert compare_detections("same", case.expected, case.expected).passed
    assert not compare_detections("moved", case.expected, moved).passed
