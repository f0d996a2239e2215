import numpy as np
import pytest
import torch

from app.engine.cpu.prepare import prepare_for_inference
from app.engine.errors import DatasetError
from app.engine.modeling.roi_heads.assignment import LabelledProposals
from app.engine.modeling.roi_heads.mask_head import MaskHead
from app.engine.structures.masks import BitMasks, PolygonMasks
from app.engine.structures.targets import GroundTruth

SQUARE = np.array([2.0, 2, 10, 2, 10, 10, 2, 10])


def head(**changes):
    torch.manual_seed(0)
    settings = {"num_classes": 3, "num_conv": 1, "conv_dim": 32, **changes}
    return MaskHead(8, **settings)


def proposals(masks, matches=(0, 0)):
    truth = GroundTruth(torch.tensor([[2.0, 2, 10, 10]]), torch.tensor([1]), masks)
    count = len(matches)
    return LabelledProposals(
        (16, 16),
        torch.tensor([[2.0, 2, 10, 10], [2, 2, 18, 10]])[:count],
        torch.ones(count, dtype=torch.int64),
        torch.tensor(matches, dtype=torch.int64),
        truth,
    )


def bitmap():
    bits = torch.zeros(1, 16, 20, dtype=torch.bool)
    bits[0, 2:10, 2:10] = True
    return BitMasks(bits)


@pytest.mark.parametrize("masks", [PolygonMasks([[SQUARE]]), bitmap()], ids=["polygons", "bitmap"])
def test_one_mask_serves_several_boxes(masks):
    targets = masks.crop_and_resize(
        torch.tensor([[2.0, 2, 10, 10], [2, 2, 18, 10]]), 8, torch.tensor([0, 0])
    )
    assert targets[0].all()
    assert targets[1, :, :4].all()
    assert not targets[1, :, 5:].any()


@pytest.mark.parametrize("class_agnostic", [False, True])
def test_only_the_mask_of_the_true_class_is_trained(class_agnostic):
    model = head(class_agnostic=class_agnostic)
    assert model(torch.rand(2, 8, 14, 14)).shape == (2, 1 if class_agnostic else 3, 28, 28)
    loss = model.loss(torch.rand(2, 8, 14, 14), [proposals(bitmap())])
    assert loss.item() == pytest.approx(np.log(2), abs=0.01)
    loss.backward()
    trained = model.predictor.weight.grad.abs().sum(dim=(1, 2, 3)) > 0
    assert trained.tolist() == ([True] if class_agnostic else [False, True, False])


def test_no_foreground_costs_nothing():
    model = head()
    nothing = proposals(bitmap(), matches=())
    loss = model.loss(torch.rand(0, 8, 14, 14), [nothing, nothing])
    loss.backward()
    assert loss.item() == 0.0
    assert model.detect(torch.rand(0, 8, 14, 14), torch.zeros(0, dtype=torch.int64)).shape == (
        0,
        1,
        28,
        28,
    )


def test_probabilities_of_the_detected_class():
    model = head(norm="GN").eval()
    x = torch.rand(2, 8, 14, 14)
    with torch.no_grad():
        probs = model.detect(x, torch.tensor([2, 0]))
        torch.testing.assert_close(probs[0, 0], model(x)[0, 2].sigmoid())
        torch.testing.assert_close(probs[1, 0], model(x)[1, 0].sigmoid())


@pytest.mark.parametrize("count", [0, 2, 30])
@pytest.mark.parametrize("class_agnostic", [False, True])
def test_made_ready_for_inference_it_says_the_same(class_agnostic, count):
    model = head(class_agnostic=class_agnostic).eval()
    torch.nn.init.normal_(model.deconv.bias)
    x, classes = torch.rand(count, 8, 14, 14), torch.tensor([2, 0, 1] * 10)[:count]
    with torch.no_grad():
        found = prepare_for_inference(model).detect(x, classes)
        torch.testing.assert_close(found, model.detect(x, classes), atol=1e-6, rtol=0)
    assert found.shape == (count, 1, 28, 28)


def test_objects_without_masks_are_named():
    with pytest.raises(DatasetError, match="MASK_ON"):
        head().loss(torch.rand(2, 8, 14, 14), [proposals(None)])


def test_names_and_shapes_of_weights():
    shapes = {name: tuple(tensor.shape) for name, tensor in head().state_dict().items()}
    assert shapes == {
        "mask_fcn1.weight": (32, 8, 3, 3),
        "mask_fcn1.bias": (32,),
        "deconv.weight": (32, 32, 2, 2),
        "deconv.bias": (32,),
        "predictor.weight": (3, 32, 1, 1),
        "predictor.bias": (3,),
    }
