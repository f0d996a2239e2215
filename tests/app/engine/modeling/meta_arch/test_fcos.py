import pytest
import torch

from app.engine.config import get_config
from app.engine.modeling.meta_arch.fcos import FCOS, gt_centerness
from app.engine.structures.targets import GroundTruth


@pytest.fixture(scope="module")
def model():
    cfg = get_config()
    cfg.MODEL.BACKBONE.NAME = "build_retinanet_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.merge_from_list(["DEPTH", 18, "RES2_OUT_CHANNELS", 64])
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.FPN.OUT_CHANNELS = 32
    cfg.MODEL.FCOS.NUM_CONVS = 1
    return FCOS.from_config(cfg)


def _points(model):
    maps = [torch.zeros(1, 1, -(-128 // s), -(-128 // s)) for s in (8, 16, 32, 64, 128)]
    return model.anchor_generator(maps)


def _positive(model, gt):
    points = _points(model)
    classes, index = model.label_anchors(gt, torch.cat(points))
    return classes.split([len(level) for level in points]), index


def test_points_lie_in_the_middle_of_cells(model):
    first = _points(model)[0]
    assert first[0].tolist() == [0.0, 0.0, 8.0, 8.0]
    assert first[1].tolist() == [8.0, 0.0, 16.0, 8.0]


@pytest.mark.parametrize(
    ("side", "level"),
    [
        pytest.param(20.0, 0, id="small: the finest level"),
        pytest.param(180.0, 1, id="from 64 to 128 pixels of reach: the second"),
    ],
)
def test_each_object_has_its_level(model, side, level):
    box = torch.tensor([[64 - side / 2, 64 - side / 2, 64 + side / 2, 64 + side / 2]])
    classes, _ = _positive(model, GroundTruth(box, torch.tensor([5])))
    assert [bool((level_classes == 5).any()) for level_classes in classes] == [
        i == level for i in range(5)
    ]


def test_only_points_near_the_centre_are_positive(model):
    box = torch.tensor([[0.0, 0.0, 64.0, 64.0]])
    classes, _ = _positive(model, GroundTruth(box, torch.tensor([5])))
    cells = (classes[0] == 5).nonzero()[:, 0]
    # Within 1.5 strides of (32, 32): centres at 20 to 44, both ends excluded.
    assert sorted({(int(i) % 16 * 8 + 4) for i in cells}) == [28, 36]


def test_the_smallest_object_wins(model):
    boxes = torch.tensor([[4.0, 4.0, 60.0, 60.0], [16.0, 16.0, 48.0, 48.0]])
    classes, index = _positive(model, GroundTruth(boxes, torch.tensor([3, 4])))
    assert set(classes[0].tolist()) == {4, 80}
    assert set(index[: len(classes[0])][classes[0] == 4].tolist()) == {1}


def test_centerness():
    deltas = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 3.0, 1.0], [0.0, 1.0, 2.0, 1.0]])
    torch.testing.assert_close(gt_centerness(deltas), torch.tensor([1.0, (1 / 3) ** 0.5, 0.0]))
    assert gt_centerness(torch.zeros(0, 4)).shape == (0,)


def test_a_level_s_range_is_open(model):
    """An object that reaches exactly 64 pixels from a point belongs to no level there."""
    box = torch.tensor([[8.0, 8.0, 136.0, 136.0]])
    anchors = torch.tensor([[64.0, 64.0, 80.0, 80.0], [48.0, 64.0, 64.0, 80.0]])
    fine = torch.tensor([[68.0, 68.0, 76.0, 76.0]])
    classes, _ = model.label_anchors(
        GroundTruth(box, torch.tensor([5])), torch.cat((anchors, fine))
    )
    assert (classes == 5).tolist() == [False, True, False]
