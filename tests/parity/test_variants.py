"""Narrow networks with every option, against detectron2 with the same weights."""

from pathlib import Path

import pytest

from verification.parity.check import check
from verification.parity.golden import load
from verification.parity.variants import VARIANTS

GOLDENS = Path(__file__).parent / "variants"


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_variant(name):
    golden = load(GOLDENS / f"{name}.npz")
    comparisons = list(check(golden))
    failed = [str(comparison) for comparison in comparisons if not comparison.passed]
    assert not failed, "\n".join(failed)
    assert len(comparisons) == (5 if golden.training else 2)  # images; steps, and gradients
