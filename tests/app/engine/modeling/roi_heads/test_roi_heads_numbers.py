"""detectron2's own seeded tests: the losses of fresh heads, which also test initialisation."""

import pytest
import torch

from app.engine.config import get_config
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.box_regression import BoxCoder
from app.engine.modeling.roi_heads import StandardROIHeads
from app.engine.modeling.roi_heads.assignment import LabelledProposals
from app.engine.modeling.roi_heads.box_predictor import BoxPredictor, BoxPredictorSpec
from app.engine.modeling.roi_heads.detection_filter import DetectionFilter
from app.engine.modeling.rpn import RPN
from app.engine.structures.masks import BitMasks
from app.engine.structures.targets import GroundTruth


@pytest.mark.slow
def test_standard_heads_with_masks():
    torch.manual_seed(121)
    cfg = get_config()
    cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    cfg.MODEL.ROI_BOX_HEAD.NUM_FC = 2
    cfg.MODEL.MASK_ON = True
    torch.rand(2, 20, 30)
    features = {"res4": torch.rand(2, 1024, 1, 2)}
    truths = []
    for boxes, classes in (
        ([[1, 1, 3, 3], [2, 2, 6, 6]], [2, 1]),
        ([[1, 5, 2, 8], [7, 3, 10, 5]], [1, 2]),
    ):
        masks = BitMasks(torch.rand(2, 15, 15) > 0.5)
        truths.append(GroundTruth(torch.tensor(boxes).float(), torch.tensor(classes), masks))
    shapes = {"res4": ShapeSpec(1024, 16)}
    rpn = RPN.from_config(cfg, shapes)
    heads = StandardROIHeads.from_config(cfg, shapes)

    proposals, losses = rpn.losses(features, [(10, 10), (20, 30)], truths)
    losses |= heads.losses(features, proposals, truths)

    expected = {
        "loss_cls": 4.5253729820251465,
        "loss_box_reg": 0.009785720147192478,
        "loss_mask": 0.693184494972229,
        "loss_rpn_cls": 0.08186662942171097,
        "loss_rpn_loc": 0.1104838103055954,
    }
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected, rel=1e-5)


def test_box_predictor():
    torch.manual_seed(132)
    predictor = BoxPredictor(
        8, BoxPredictorSpec(5, BoxCoder((10, 10, 5, 5))), detection_filter=DetectionFilter()
    )
    predictions = predictor(torch.rand(2, 8))
    truth = GroundTruth(torch.tensor([[1.0, 1, 3, 3], [2, 2, 6, 6]]), torch.tensor([1, 2]))
    proposals = LabelledProposals(
        (10, 10),
        torch.tensor([[0.8, 1.1, 3.2, 2.8], [2.3, 2.5, 7, 8]]),
        truth.classes,
        torch.arange(2),
        truth,
    )
    losses = predictor.losses(predictions, [proposals])
    assert losses["loss_cls"].item() == pytest.approx(1.7951188087, rel=1e-5)
    assert losses["loss_box_reg"].item() == pytest.approx(4.0357131958, rel=1e-5)
