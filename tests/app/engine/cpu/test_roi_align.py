"""RoIAlign by gathering against torchvision's."""

import pytest
import torch
from torchvision.ops import roi_align

from app.engine.config.support import CHOICES
from app.engine.cpu.roi_align import GatheringROIPooler, gathered_roi_align
from app.engine.layers.roi_pool import ROIPooler

WIDTH, HEIGHT, SCALE = 40, 24, 0.25

ROIS = torch.tensor(
    [
        [0, 10.0, 10, 50, 40],
        [1, 3.3, 70.1, 159.9, 90.7],  # flat
        [1, 100, -20, 108, 200],  # over both edges
        [0, -500, -500, -400, -400],  # outside
        [0, 30, 30, 30, 30],  # empty
        [0, 12, 8, 12.5, 9],  # less than a cell
        [1, 0, 0, 160, 96],  # the whole map
    ]
)


def gather(features, rois, levels=None, *, sampling_ratio=0, aligned=True, side):
    return gathered_roi_align(
        features,
        [SCALE / 2**level for level in range(len(features))],
        rois,
        torch.zeros(len(rois)) if levels is None else levels,
        side=side,
        sampling_ratio=sampling_ratio,
        aligned=aligned,
    )


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("side", [1, 7])
def test_equals_torchvisions(side, sampling_ratio, aligned):
    feature = torch.rand(2, 5, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    expected = roi_align(feature, ROIS, (side, side), SCALE, sampling_ratio, aligned)
    found = gather([feature], ROIS, side=side, sampling_ratio=sampling_ratio, aligned=aligned)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_no_boxes():
    feature = torch.rand(1, 3, 8, 8)
    found = gather([feature], torch.zeros(0, 5), side=7)
    assert found.shape == (0, 3, 7, 7)


def test_many_boxes_are_split(monkeypatch):
    monkeypatch.setattr("app.engine.cpu.roi_align._MAX_ROWS", 100)
    feature = torch.rand(2, 5, HEIGHT, WIDTH)
    found = gather([feature], ROIS.repeat(4, 1), side=7)
    expected = roi_align(feature, ROIS.repeat(4, 1), (7, 7), SCALE, 0, True)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_each_box_is_read_from_its_level():
    features = [torch.rand(2, 5, HEIGHT, WIDTH), torch.rand(2, 5, HEIGHT // 2, WIDTH // 2)]
    levels = torch.tensor([1, 0, 1, 0, 0, 1, 1])
    found = gather(features, ROIS, levels, side=3)
    for level, (feature, scale) in enumerate(zip(features, (SCALE, SCALE / 2), strict=True)):
        expected = roi_align(feature, ROIS[levels == level], (3, 3), scale, 0, True)
        torch.testing.assert_close(found[levels == level], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_equal_torchvisions(dtype, sampling_ratio):
    generator = torch.Generator().manual_seed(0)
    features = [
        torch.rand(2, 5, HEIGHT // n, WIDTH // n, generator=generator).to(dtype).requires_grad_()
        for n in (1, 2)
    ]
    levels = torch.tensor([1, 0, 1, 0, 0, 1, 1])
    found = gather(features, ROIS, levels, sampling_ratio=sampling_ratio, side=7)
    assert found.dtype == dtype
    slope = torch.rand(found.shape, generator=generator).to(dtype)
    gradients = torch.autograd.grad(found, features, slope)
    again = gather(features, ROIS, levels, sampling_ratio=sampling_ratio, side=7)
    for first, second in zip(gradients, torch.autograd.grad(again, features, slope), strict=True):
        assert torch.equal(first, second)
    for level, feature in enumerate(features):
        wide = feature.detach().float().requires_grad_()
        rois, scale = ROIS[levels == level], SCALE / 2**level
        expected = roi_align(wide, rois, (7, 7), scale, sampling_ratio, True)
        (gradient,) = torch.autograd.grad(expected, wide, slope[levels == level].float())
        tolerance = {"atol": 1e-5, "rtol": 1e-5 if dtype == torch.float32 else 1e-2}
        torch.testing.assert_close(found[levels == level].float(), expected, **tolerance)
        torch.testing.assert_close(gradients[level].float(), gradient, **tolerance)
        assert gradients[level].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "rois", [pytest.param(ROIS[:2], id="some"), pytest.param(ROIS[:0], id="0")]
)
def test_every_map_gets_a_gradient(rois):
    features = [torch.rand(2, 3, 8, 8, requires_grad=True) for _ in range(3)]
    gather(features, rois, torch.ones(len(rois)), side=2).sum().backward()
    assert all(feature.grad is not None for feature in features)
    assert not features[0].grad.any()


@pytest.mark.parametrize("strides", [[4], [4, 8]], ids=str)
@pytest.mark.parametrize("pooler_type", CHOICES["MODEL.ROI_BOX_HEAD.POOLER_TYPE"])
def test_a_pooler_gives_what_the_plain_one_gives(pooler_type, strides):
    generator = torch.Generator().manual_seed(0)
    features = [torch.rand(2, 5, 96 // s, 160 // s, generator=generator) for s in strides]
    boxes = [ROIS[ROIS[:, 0] == i, 1:] for i in range(2)]
    plain, gathering = (
        kind(strides, side=7, sampling_ratio=0, pooler_type=pooler_type)(features, boxes)
        for kind in (ROIPooler, GatheringROIPooler)
    )
    torch.testing.assert_close(gathering, plain, atol=1e-5, rtol=0)
    assert gathering.shape == (len(ROIS), 5, 7, 7)


def test_boxes_of_negative_area_on_one_map_are_finite():
    pooler = GatheringROIPooler([1], side=2, sampling_ratio=0, pooler_type="ROIAlignV2")
    feature = torch.rand(1, 2, 8, 8, requires_grad=True)
    pooled = pooler([feature], [torch.tensor([[3.0, 3, 3, 3], [4, 4, 3, 5]])])
    pooled.sum().backward()
    assert pooled.isfinite().all()
    assert feature.grad.isfinite().all()
