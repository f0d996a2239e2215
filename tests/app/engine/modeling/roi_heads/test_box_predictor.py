import pytest
import torch

from app.engine.config import get_config
from app.engine.modeling.box_regression import BoxCoder
from app.engine.modeling.roi_heads.assignment import LabelledProposals
from app.engine.modeling.roi_heads.box_head import FastRCNNConvFCHead
from app.engine.modeling.roi_heads.box_predictor import (
    BoxPredictions,
    BoxPredictor,
    BoxPredictorSpec,
)
from app.engine.modeling.roi_heads.class_loss import (
    ClassLossSpec,
    SigmoidLoss,
    SoftmaxLoss,
    draw_federated_classes,
)
from app.engine.modeling.roi_heads.detection_filter import DetectionFilter
from app.engine.structures.targets import GroundTruth, Proposals


def predictor(num_classes=3, *, class_agnostic=False, sigmoid=False, **filter_settings):
    spec = BoxPredictorSpec(
        num_classes,
        BoxCoder((10, 10, 5, 5)),
        class_loss=ClassLossSpec(sigmoid=sigmoid),
        class_agnostic=class_agnostic,
    )
    return BoxPredictor(4, spec, detection_filter=DetectionFilter(**filter_settings))


BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
PROBS = torch.tensor([[0.6, 0.3, 0.0, 0.1], [0.5, 0.4, 0.0, 0.1], [0.1, 0.05, 0.05, 0.8]])


def selected(deltas=None, **settings):
    deltas = torch.zeros(3, 12) if deltas is None else deltas
    return DetectionFilter(**settings)(PROBS, deltas, BOXES, (32, 32), BoxCoder())


def test_a_proposal_may_show_several_classes_and_suppression_is_within_a_class():
    detections, proposals = selected()
    assert detections.scores.tolist() == pytest.approx([0.6, 0.4, 0.1])
    assert detections.classes.tolist() == [0, 1, 0]
    assert proposals.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("settings", "scores"),
    [
        pytest.param({"score_thresh": 0.1}, [0.6, 0.4], id="scores must exceed the threshold"),
        pytest.param({"score_thresh": 1.0}, [], id="nothing"),
        pytest.param({"max_detections": 1}, [0.6], id="the best one"),
        pytest.param({"nms_thresh": 0.95}, [0.6, 0.5, 0.4, 0.3, 0.1], id="less suppression"),
    ],
)
def test_settings(settings, scores):
    assert selected(**settings)[0].scores.tolist() == pytest.approx(scores)


def test_deltas_of_the_detected_class_move_the_box():
    deltas = torch.zeros(3, 12)
    deltas[0, 0] = 0.5
    deltas[1, 4] = 1.0
    boxes = selected(deltas)[0].boxes.tolist()
    assert boxes[0] == [5, 0, 15, 10]
    assert boxes[1] == [0, 0, 10, 9]  # no longer overlaps the first
    assert boxes[2] == [10, 0, 20, 9]
    agnostic = selected(torch.tensor([[0.5, 0, 0, 0]]).expand(3, 4))[0].boxes
    assert agnostic[0].tolist() == [5, 0, 15, 10]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_proposals_with_broken_numbers_are_dropped(value):
    deltas = torch.zeros(3, 12)
    deltas[0, 11] = value
    assert 0 not in selected(deltas)[1].tolist()


def test_class_vectors_follow_their_detections():
    model = predictor(score_thresh=0.0)
    proposals = [
        Proposals((32, 32), BOXES, torch.zeros(3)),
        Proposals((9, 9), BOXES[:0], BOXES[:0, 0]),
    ]
    predictions = BoxPredictions(PROBS.log().clamp(min=-30), torch.zeros(3, 12))
    first, second = model.detect(predictions, proposals, keep_class_probs=True)
    assert first.class_probs.shape == (len(first), 4)
    torch.testing.assert_close(
        first.class_probs.gather(1, first.classes[:, None])[:, 0], first.scores
    )
    assert second.class_probs.shape == (0, 4)
    assert model.detect(predictions, proposals)[0].class_probs is None
    independent = predictor(sigmoid=True, score_thresh=0.0)
    assert (
        independent.detect(predictions, proposals, keep_class_probs=True)[0].class_probs.shape[1]
        == 3
    )


def labelled(classes):
    truth = GroundTruth(BOXES[:1] + 1, torch.tensor([1]))
    classes = torch.tensor(classes, dtype=torch.int64)
    return LabelledProposals(
        (32, 32), BOXES[: len(classes)], classes, torch.zeros_like(classes), truth
    )


@pytest.mark.parametrize("class_agnostic", [False, True])
def test_only_deltas_of_the_true_class_are_trained(class_agnostic):
    model = predictor(class_agnostic=class_agnostic)
    deltas = torch.zeros(3, 4 if class_agnostic else 12, requires_grad=True)
    logits = torch.zeros(3, 4)
    model.losses(BoxPredictions(logits, deltas), [labelled([1, 3, 3])])["loss_box_reg"].backward()
    trained = deltas.grad.abs() > 0
    assert trained[0, :4].any() if class_agnostic else trained[0, 4:8].any()
    assert not trained[1:].any()
    assert class_agnostic or not trained[0, :4].any()


def test_box_loss_is_divided_by_all_proposals():
    model = predictor()
    deltas = torch.zeros(3, 12)
    alone = model.losses(BoxPredictions(torch.zeros(1, 4), deltas[:1]), [labelled([1])])
    among = model.losses(BoxPredictions(torch.zeros(3, 4), deltas), [labelled([1, 3, 3])])
    assert among["loss_box_reg"].item() == pytest.approx(alone["loss_box_reg"].item() / 3)


@pytest.mark.parametrize("sigmoid", [False, True])
def test_no_proposals_cost_nothing_but_keep_their_gradient(sigmoid):
    model = predictor(sigmoid=sigmoid)
    logits = torch.zeros(0, 4, requires_grad=True)
    deltas = torch.zeros(0, 12, requires_grad=True)
    losses = model.losses(BoxPredictions(logits, deltas), [labelled([])])
    assert [loss.item() for loss in losses.values()] == [0.0, 0.0]
    sum(losses.values()).backward()
    assert logits.grad is not None
    assert deltas.grad is not None


def test_refining_by_class_and_for_background():
    model = predictor()
    deltas = torch.zeros(3, 12)
    deltas[0, 4] = 10.0
    deltas[1, 8] = 10.0
    refined = model.refine(BoxPredictions(PROBS, deltas), BOXES, torch.tensor([1, 3, 0]))
    assert refined.tolist() == [[10, 0, 20, 10], [10, 0, 20, 9], [20, 20, 30, 30]]


def test_sigmoid_and_federated_losses_equal_detectron2s():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(6, 13, generator=generator)
    classes = torch.tensor([0, 3, 12, 12, 3, 12])
    assert SigmoidLoss()(logits, classes).item() == pytest.approx(10.086380004882812)
    odds = torch.arange(1, 13) ** 0.5
    torch.manual_seed(11)
    federated = SigmoidLoss(lambda present: draw_federated_classes(present, odds, 5))
    assert federated(logits, classes).item() == pytest.approx(3.2008984088897705)


def test_federated_classes():
    odds = torch.tensor([1.0, 0.0, 1.0, 0.0])
    kept = draw_federated_classes(torch.tensor([1, 4]), odds, 3)
    assert kept[1] == 1
    assert kept.sum() == 2
    # Never one without odds, even if more are wanted.
    assert draw_federated_classes(torch.tensor([4]), odds, 4).tolist() == [1, 0, 1, 0]


def test_federated_loss_from_config():
    cfg = get_config()
    cfg.MODEL.ROI_BOX_HEAD.USE_FED_LOSS = True
    cfg.MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE = True
    model = BoxPredictor.from_config(cfg, 4)
    assert "fed_loss_cls_weights" in model.state_dict()
    model.set_image_counts(torch.full((80,), 4.0))
    assert model.fed_loss_cls_weights.unique().item() == 2.0


def test_softmax_vectors_hold_the_background():
    probs = SoftmaxLoss().probs(torch.randn(2, 4))
    torch.testing.assert_close(SoftmaxLoss().class_vectors(probs).sum(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    ("num_conv", "num_fc", "out_dim", "keys"),
    [
        pytest.param(0, 2, 6, ["fc1.weight", "fc2.bias"], id="two layers"),
        pytest.param(2, 1, 6, ["conv1.weight", "conv2.bias", "fc1.weight"], id="convolutions"),
        pytest.param(1, 0, 32 * 9, ["conv1.weight"], id="convolutions only"),
    ],
)
def test_box_head(num_conv, num_fc, out_dim, keys):
    head = FastRCNNConvFCHead(4, 3, num_conv=num_conv, conv_dim=32, num_fc=num_fc, fc_dim=6)
    assert head.out_dim == out_dim
    assert head(torch.rand(5, 4, 3, 3)).shape == (5, out_dim)
    assert head(torch.rand(0, 4, 3, 3)).shape == (0, out_dim)
    assert set(keys) <= set(head.state_dict())


def test_box_head_with_norm_has_no_bias():
    head = FastRCNNConvFCHead(4, 3, num_conv=1, conv_dim=32, num_fc=0, fc_dim=0, norm="GN")
    assert set(head.state_dict()) == {"conv1.weight", "conv1.norm.weight", "conv1.norm.bias"}
