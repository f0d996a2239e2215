"""Code that runs only on a GPU, on a fake one, against the numbers of detectron2."""

from pathlib import Path

import pytest

from verification.launches.fake_gpu import fake_gpu
from verification.parity.check import check
from verification.parity.golden import load
from verification.parity.variants import VARIANTS

GOLDENS = Path(__file__).parent
QUICK = {
    "cascade_federated",
    "fast",
    "faster_sampled",
    "keypoint",
    "mask_augmented",
    "mask_deform_v2",
    "panoptic",
    "retinanet",
    "rpn_three_convs",
}


@pytest.mark.parametrize(
    "name",
    [
        *(
            pytest.param(f"variants/{name}", marks=[] if name in QUICK else [pytest.mark.slow])
            for name in sorted(VARIANTS)
        ),
        pytest.param("fcos_R_50_FPN_1x", marks=[pytest.mark.slow]),
    ],
)
def test_a_gpu_detects_and_learns_the_same(name):
    golden = load(GOLDENS / f"{name}.npz")
    with fake_gpu():
        comparisons = list(check(golden, prepared=True, device="cuda"))
    failed = [str(comparison) for comparison in comparisons if not comparison.passed]
    assert not failed, "\n".join(failed)
