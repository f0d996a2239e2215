import pytest
import torch
from torchvision.models.detection import anchor_utils
from torchvision.models.detection.image_list import ImageList

from app.engine.modeling.anchors import AnchorGenerator, TorchvisionAnchorGenerator

# Widths and heights of sizes 32, 64 and ratios 0.25, 1, 4.
CELL = [
    [-32.0, -8.0, 32.0, 8.0],
    [-16.0, -16.0, 16.0, 16.0],
    [-8.0, -32.0, 8.0, 32.0],
    [-64.0, -16.0, 64.0, 16.0],
    [-32.0, -32.0, 32.0, 32.0],
    [-16.0, -64.0, 16.0, 64.0],
]


@pytest.mark.parametrize(
    ("offset", "first_center"),
    [pytest.param(0.0, 0.0, id="on the corner"), pytest.param(0.5, 2.0, id="in the middle")],
)
def test_anchors_of_two_cells(offset, first_center):
    generator = AnchorGenerator(
        sizes=[[32, 64]], aspect_ratios=[[0.25, 1, 4]], strides=[4], offset=offset
    )
    (anchors,) = generator([torch.zeros(2, 96, 1, 2)])
    at_origin = torch.tensor(CELL) + first_center
    torch.testing.assert_close(
        anchors, torch.cat((at_origin, at_origin + torch.tensor([4, 0, 4, 0])))
    )
    assert generator.num_anchors == [6]


def test_one_list_serves_every_level_and_x_runs_fastest():
    generator = AnchorGenerator(sizes=[[8], [16]], aspect_ratios=[1.0], strides=[4, 8], offset=0.0)
    fine, coarse = generator([torch.zeros(1, 1, 2, 3), torch.zeros(1, 1, 1, 1)])
    assert fine[:, 0].tolist() == [-4, 0, 4, -4, 0, 4]
    assert fine[:, 1].tolist() == [-4, -4, -4, 0, 0, 0]
    assert coarse.tolist() == [[-8, -8, 8, 8]]


def test_nothing_of_the_anchors_is_saved():
    generator = AnchorGenerator(sizes=[32], aspect_ratios=[1.0], strides=[4])
    assert not generator.state_dict()


def test_anchors_take_the_number_format_of_the_model():
    generator = AnchorGenerator(sizes=[[32]], aspect_ratios=[[1.0]], strides=[16], offset=0.0)
    features = [torch.zeros(1, 1, 2, 2)]
    assert generator(features)[0].dtype == torch.float32
    assert generator.double()(features)[0].dtype == torch.float64


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(lambda g, f: g([torch.zeros(1, 1, 3, 2), f[1]]), id="another height"),
        pytest.param(lambda g, f: g([torch.zeros(1, 1, 2, 3), f[1]]), id="another width"),
        pytest.param(lambda g, f: g([f[0], torch.zeros(1, 1, 2, 2)]), id="another coarse level"),
        pytest.param(lambda g, f: g.double()(f), id="another number format"),
        pytest.param(lambda g, f: g.to("meta")(f), id="another device"),
    ],
)
def test_remembered_anchors_are_those_of_what_is_asked_for(again):
    def fresh():
        return AnchorGenerator(sizes=[[8], [16]], aspect_ratios=[1.0], strides=[4, 8])

    features = [torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 1, 1)]
    used = fresh()
    assert used(features)[0] is used(features)[0]
    for found, expected in zip(again(used, features), again(fresh(), features), strict=True):
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        assert found.device == expected.device
        assert found.device.type == "meta" or torch.equal(found, expected)


def test_anchors_of_inference_are_not_those_of_training():
    generator = AnchorGenerator(sizes=[[8]], aspect_ratios=[1.0], strides=[4])
    features = [torch.zeros(1, 1, 2, 2)]
    with torch.inference_mode():
        assert generator(features)[0].is_inference()
    assert not generator(features)[0].is_inference()


def test_a_caller_may_change_its_list():
    generator = AnchorGenerator(sizes=[[8]], aspect_ratios=[1.0], strides=[4])
    features = [torch.zeros(1, 1, 2, 2)]
    generator(features).clear()
    assert len(generator(features)) == 1


@pytest.mark.parametrize(
    "ratios", [pytest.param([0.5, 1.0, 2.0], id="three ratios"), pytest.param([1.0], id="one")]
)
def test_torchvisions_anchors(ratios):
    sizes = [[32, 40, 50], [64, 80, 101]]
    maps = [torch.zeros(1, 1, 4, 6), torch.zeros(1, 1, 1, 2)]  # stride 32, then 128 and 96
    own = TorchvisionAnchorGenerator(
        sizes=sizes, aspect_ratios=ratios, strides=[32, 128], offset=0.0
    )
    reference = anchor_utils.AnchorGenerator(sizes, (ratios, ratios))
    images = ImageList(torch.zeros(1, 3, 128, 192), [(128, 192)])

    (expected,) = reference(images, maps)

    assert torch.equal(torch.cat(own(maps)), expected)
    assert own.num_anchors == [3 * len(ratios)] * 2
