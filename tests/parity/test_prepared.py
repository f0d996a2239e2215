"""Models prepared as `Predictor` and the trainer run them against the numbers of detectron2."""

from pathlib import Path

import pytest

from verification.parity.check import check_cases, check_training
from verification.parity.golden import load

GOLDENS = Path(__file__).parent


@pytest.mark.parametrize(
    "name",
    ["retinanet_R_50_FPN_1x", "variants/cascade", "variants/panoptic", "variants/mask_augmented"],
)
def test_a_prepared_model_detects_the_same(name):
    comparisons = list(check_cases(load(GOLDENS / f"{name}.npz"), prepared=True))
    failed = [str(comparison) for comparison in comparisons if not comparison.passed]
    assert not failed, "\n".join(failed)
    assert len(comparisons) == 2


@pytest.mark.parametrize("name", ["retinanet_R_50_FPN_1x", "variants/cascade", "variants/panoptic"])
def test_a_prepared_model_learns_the_same(name):
    golden = load(GOLDENS / f"{name}.npz")
    comparisons = list(check_training(golden, golden.training, steps=1, prepared=True))
    failed = [str(comparison) for comparison in comparisons if not comparison.passed]
    assert not failed, "\n".join(failed)
    assert len(comparisons) == 2
