import pytest
import torch

from app.engine.config import get_config
from app.engine.errors import ConfigError, DivergedError
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.backbones import build_backbone
from app.engine.modeling.backbones.resnet import make_stage, stage_specs
from app.engine.modeling.rpn import RPN
from app.engine.modeling.rpn_head import RPNHead
from app.engine.structures.targets import GroundTruth

SIZES = [(10, 10), (20, 30)]


def seeded_rpn(conv_dims=(-1,)):
    """detectron2's own test: a body is made first, whose random numbers are used up.

    So are those of res5, which detectron2 makes and throws away.
    """
    torch.manual_seed(121)
    cfg = get_config()
    cfg.MODEL.RPN.CONV_DIMS = list(conv_dims)
    shapes = build_backbone(cfg).output_shape()
    make_stage(stage_specs(cfg)[3])
    return RPN.from_config(cfg, shapes)


def truth_and_features():
    torch.rand(2, 20, 30)
    features = {"res4": torch.rand(2, 1024, 1, 2)}
    boxes = torch.tensor([[1.0, 1, 3, 3], [2, 2, 6, 6]])
    truths = [GroundTruth(boxes[i : i + 1], torch.zeros(1, dtype=torch.int64)) for i in range(2)]
    return truths, features


@pytest.mark.slow
@pytest.mark.parametrize(
    ("conv_dims", "class_loss", "box_loss"),
    [
        pytest.param([-1], 0.08011703193, 0.101470276, id="one convolution"),
        pytest.param([64] * 5, 0.08122821152, 0.10064548254, id="five convolutions"),
    ],
)
def test_losses_equal_detectron2s(conv_dims, class_loss, box_loss):
    rpn = seeded_rpn(conv_dims)
    truths, features = truth_and_features()
    proposals, losses = rpn.losses(features, SIZES, truths)
    assert losses["loss_rpn_cls"].item() == pytest.approx(class_loss, rel=1e-5)
    assert losses["loss_rpn_loc"].item() == pytest.approx(box_loss, rel=1e-5)
    assert [p.image_size for p in proposals] == SIZES
    if conv_dims == [-1]:
        boxes = torch.tensor([[0, 0, 10, 10], [7.2702, 0, 10, 10]])
        torch.testing.assert_close(proposals[0].boxes, boxes, atol=1e-4, rtol=0)
        logits = torch.tensor([0.1596, -0.0007])
        torch.testing.assert_close(proposals[0].objectness_logits, logits, atol=1e-4, rtol=0)


def test_convolutions_keep_the_width_unless_told():
    head = RPNHead(16, num_anchors=3, conv_dims=[-1, -1, 8])
    assert [head.conv.get_submodule(f"conv{i}").out_channels for i in range(3)] == [16, 16, 8]
    assert "conv.weight" in RPNHead(16, num_anchors=3).state_dict()


def small_rpn(**changes):
    cfg = get_config()
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[8], [16]]
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3"]
    for key, value in changes.items():
        cfg.MODEL.RPN[key] = value
    torch.manual_seed(1)
    return RPN.from_config(cfg, {"p2": ShapeSpec(4, 4), "p3": ShapeSpec(4, 8)})


def small_features():
    torch.manual_seed(2)
    return {"p2": torch.rand(2, 4, 8, 8), "p3": torch.rand(2, 4, 4, 4)}


def test_proposals_are_best_first_inside_the_image_and_few():
    rpn = small_rpn(POST_NMS_TOPK_TEST=7)
    for proposals, size in zip(
        rpn.propose(small_features(), [(32, 32), (20, 25)]), [(32, 32), (20, 25)], strict=True
    ):
        assert len(proposals) == 7
        assert proposals.objectness_logits.tolist() == sorted(
            proposals.objectness_logits.tolist(), reverse=True
        )
        assert proposals.boxes.min() >= 0
        assert (proposals.boxes[:, 2:] <= torch.tensor([size[1], size[0]])).all()
        assert not proposals.boxes.requires_grad


def test_an_image_without_objects_has_background_only():
    rpn = small_rpn()
    truths = [GroundTruth.empty(), GroundTruth.empty()]
    losses = rpn.losses(small_features(), [(32, 32)] * 2, truths)[1]
    assert losses["loss_rpn_loc"].item() == 0.0
    assert losses["loss_rpn_cls"].item() > 0.0
    sum(losses.values()).backward()


@pytest.mark.parametrize("kind", ["smooth_l1", "giou", "diou", "ciou"])
def test_box_losses_train_the_deltas(kind):
    rpn = small_rpn(BBOX_REG_LOSS_TYPE=kind, BBOX_REG_LOSS_WEIGHT=2.0)
    truth = GroundTruth(torch.tensor([[4.0, 4, 13, 12]]), torch.zeros(1, dtype=torch.int64))
    losses = rpn.losses(small_features(), [(32, 32)] * 2, [truth, truth])[1]
    losses["loss_rpn_loc"].backward()
    assert rpn.rpn_head.anchor_deltas.weight.grad.abs().sum() > 0


def test_anchors_that_leave_the_image_can_be_left_out():
    truth = GroundTruth(torch.tensor([[0.0, 0, 9, 8]]), torch.zeros(1, dtype=torch.int64))
    anchors = torch.tensor([[-4.0, -4, 4, 4], [0, 0, 8, 8], [4, 4, 12, 12]])
    anywhere, within = (
        small_rpn(BOUNDARY_THRESH=thresh)._sample(anchors, [(32, 32)], [truth])
        for thresh in (-1, 0)
    )
    assert sorted(anywhere.anchor.tolist()) == [0, 1, 2]
    assert sorted(within.anchor.tolist()) == [1, 2]


def test_infinite_predictions_stop_training_and_are_dropped_in_testing():
    rpn = small_rpn()
    torch.nn.init.constant_(rpn.rpn_head.anchor_deltas.bias, float("inf"))
    assert [len(p) for p in rpn.propose(small_features(), [(32, 32)] * 2)] == [0, 0]
    with pytest.raises(DivergedError):
        rpn.losses(small_features(), [(32, 32)] * 2, [GroundTruth.empty()] * 2)


def test_objectness_maps():
    maps = small_rpn().objectness(small_features())
    assert [tuple(m.shape) for m in maps] == [(2, 1, 8, 8), (2, 1, 4, 4)]
    assert all(((m > 0) & (m < 1)).all() for m in maps)


def test_levels_must_share_a_head():
    cfg = get_config()
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3"]
    with pytest.raises(ConfigError, match="share one head"):
        RPN.from_config(cfg, {"p2": ShapeSpec(4, 4), "p3": ShapeSpec(8, 8)})
