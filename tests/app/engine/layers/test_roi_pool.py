import pytest
import torch
from torchvision.ops import roi_align

from app.engine.errors import ConfigError
from app.engine.layers.roi_pool import ROIPooler, assign_levels

# 0 1 2 3 4 / 5 6 7 8 9 / ...
COUNTING = torch.arange(25.0).reshape(1, 1, 5, 5)


@pytest.mark.parametrize(
    ("pooler_type", "first"),
    [
        pytest.param("ROIAlign", 7.5, id="shifted by half a pixel"),
        pytest.param("ROIAlignV2", 4.5, id="exact"),
    ],
)
def test_roi_align_reads_between_pixels(pooler_type, first):
    pooler = ROIPooler([1], side=4, sampling_ratio=0, pooler_type=pooler_type)
    pooled = pooler([COUNTING], [torch.tensor([[1.0, 1, 3, 3]])])
    expected = first + 0.5 * torch.arange(4.0) + 2.5 * torch.arange(4.0)[:, None]
    torch.testing.assert_close(pooled[0, 0], expected)


def test_roi_pool_takes_maxima():
    pooler = ROIPooler([1], side=1, sampling_ratio=0, pooler_type="ROIPool")
    assert pooler([COUNTING], [torch.tensor([[1.0, 1, 3, 3]])]).item() == 18.0


@pytest.mark.parametrize(
    ("side", "level"),
    [
        pytest.param(1.0, 0, id="tiny"),
        pytest.param(111.0, 0, id="below 112"),
        pytest.param(112.0, 1, id="112"),
        pytest.param(224.0, 2, id="canonical"),
        pytest.param(448.0, 3, id="448"),
        pytest.param(4000.0, 3, id="huge"),
        pytest.param(0.0, 0, id="empty"),
    ],
)
def test_level_of_a_square(side, level):
    boxes = torch.tensor([[5.0, 5.0, 5.0 + side, 5.0 + side]])
    assert assign_levels(boxes, [4, 8, 16, 32]).item() == level


def test_several_levels_keep_the_order_of_the_boxes():
    torch.manual_seed(0)
    features = [torch.rand(2, 3, 64 // stride, 64 // stride) for stride in (4, 8)]
    boxes = [
        torch.tensor([[0.0, 0, 8, 8], [0, 0, 500, 500], [3, 3, 9, 7]]),
        torch.tensor([[1.0, 2, 300, 200]]),
    ]
    pooled = ROIPooler([4, 8], side=3, sampling_ratio=2, pooler_type="ROIAlignV2")(features, boxes)
    for i, (image, row, level) in enumerate([(0, 0, 0), (0, 1, 1), (0, 2, 0), (1, 0, 1)]):
        alone = roi_align(
            features[level], [boxes[k] for k in range(2)], 3, 1 / (4, 8)[level], 2, True
        )[3 * image + row]
        torch.testing.assert_close(pooled[i], alone)


@pytest.mark.parametrize("strides", [[4], [4, 8]])
def test_no_boxes(strides):
    features = [torch.rand(2, 3, 8, 8, requires_grad=True) for _ in strides]
    pooler = ROIPooler(strides, side=7, sampling_ratio=0, pooler_type="ROIAlignV2")
    pooled = pooler(features, [torch.zeros(0, 4), torch.zeros(0, 4)])
    assert pooled.shape == (0, 3, 7, 7)
    pooled.sum().backward()
    assert all(torch.equal(f.grad, torch.zeros_like(f)) for f in features)


def test_empty_boxes_are_finite_with_finite_gradients():
    feature = torch.rand(1, 2, 8, 8, requires_grad=True)
    pooler = ROIPooler([1], side=2, sampling_ratio=0, pooler_type="ROIAlignV2")
    pooled = pooler([feature], [torch.tensor([[3.0, 3, 3, 3], [4, 4, 3, 5]])])
    pooled.sum().backward()
    assert pooled.isfinite().all()
    assert feature.grad.isfinite().all()


def test_half_precision_keeps_coordinates():
    feature = torch.arange(2048.0).expand(1, 1, 4, 2048)
    pooler = ROIPooler([1], side=1, sampling_ratio=1, pooler_type="ROIAlignV2")
    boxes = [torch.tensor([[1001.0, 1, 1004, 3]])]
    assert pooler([feature.bfloat16()], boxes).item() == pytest.approx(1002, abs=4)


@pytest.mark.parametrize(
    "strides",
    [
        pytest.param([4, 16], id="a gap between strides"),
        pytest.param([6], id="not a power of two"),
    ],
)
def test_what_cannot_work_is_refused(strides):
    with pytest.raises(ConfigError):
        ROIPooler(strides, side=7, sampling_ratio=0, pooler_type="ROIAlign")


def test_a_box_without_height_gives_zeros_and_no_gradient():
    """detectron2's own test."""
    feature = torch.rand(1, 1, 5, 5, requires_grad=True)
    pooler = ROIPooler([1], side=7, sampling_ratio=0, pooler_type="ROIAlignV2")
    pooled = pooler([feature], [torch.tensor([[3.0, 4, 5, 4]])])
    pooled.sum().backward()
    assert pooled.shape == (1, 1, 7, 7)
    assert not pooled.any()
    assert not feature.grad.any()


@pytest.mark.parametrize("side", [7, 14])
def test_no_images(side):
    pooler = ROIPooler([1], side=side, sampling_ratio=0, pooler_type="ROIAlignV2")
    assert pooler([torch.rand(0, 32, 32, 32)], []).shape == (0, 32, side, side)


def test_half_the_size_gives_the_same():
    """detectron2's own test: what is read at a box does not depend on the resolution."""
    torch.manual_seed(0)
    image = torch.rand(1, 1, 30, 30) * 100
    half = torch.nn.functional.avg_pool2d(image, 2)
    pooler = ROIPooler([1], side=5, sampling_ratio=0, pooler_type="ROIAlignV2")
    whole = pooler([image], [torch.tensor([[10.0, 10, 20, 20]])])
    torch.testing.assert_close(pooler([half], [torch.tensor([[5.0, 5, 10, 10]])]), whole)
