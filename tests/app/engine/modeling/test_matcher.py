import pytest
import torch

from app.engine.modeling import matcher as matcher_module
from app.engine.modeling.matcher import Matcher
from app.engine.structures.boxes import pairwise_iou

IOU = torch.tensor([[0.15, 0.45, 0.2, 0.6], [0.3, 0.65, 0.05, 0.1], [0.05, 0.4, 0.25, 0.4]])


@pytest.mark.parametrize(
    ("low_quality", "labels"),
    [
        pytest.param(True, [-1, 1, 0, 1], id="with low quality matches"),
        pytest.param(False, [-1, -1, 0, -1], id="without"),
    ],
)
def test_matches_and_labels(low_quality, labels):
    matcher = Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=low_quality)
    matches, match_labels = matcher(IOU)
    assert matches.tolist() == [1, 1, 2, 0]
    assert match_labels.tolist() == labels
    assert match_labels.dtype == torch.int8


def test_intervals_are_closed_below():
    labels = Matcher([0.3, 0.7], [0, -1, 1])(torch.tensor([[0.3, 0.7, 0.0, 1.0]]))[1]
    assert labels.tolist() == [-1, 1, 0, 1]


def test_all_boxes_that_tie_for_an_object_are_positive():
    iou = torch.tensor([[0.2, 0.2, 0.1], [0.5, 0.0, 0.0]])
    matches, labels = Matcher([0.6], [0, 1], allow_low_quality_matches=True)(iou)
    # The first box ties for object 0, but keeps its own best object.
    assert matches.tolist() == [1, 0, 0]
    assert labels.tolist() == [1, 1, 0]


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_nothing_to_match(shape):
    matches, labels = Matcher([0.5], [0, 1], allow_low_quality_matches=True)(torch.zeros(shape))
    assert matches.tolist() == labels.tolist() == [0] * shape[1]


@pytest.mark.parametrize("pairs", [1, 70, 100, 10_000])
@pytest.mark.parametrize("low_quality", [True, False])
@pytest.mark.parametrize(
    "objects",
    [
        pytest.param([*range(7)], id="objects"),
        pytest.param([3, 3, 5], id="twice the same object"),
        pytest.param([0, 57], id="an object that no box meets"),
        pytest.param([], id="no objects"),
    ],
)
def test_bounded_memory_changes_nothing(monkeypatch, objects, low_quality, pairs):
    generator = torch.Generator().manual_seed(3)
    corners = torch.rand(57, 2, generator=generator) * 50
    boxes = torch.cat((corners, corners + torch.rand(57, 2, generator=generator) * 40), dim=1)
    boxes = torch.cat((boxes, boxes))  # every overlap ties
    apart = torch.tensor([[500.0, 500.0, 510.0, 510.0]])
    gt_boxes = torch.cat((boxes[:57], apart))[objects]
    matcher = Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=low_quality)
    expected = matcher(pairwise_iou(gt_boxes, boxes))
    monkeypatch.setattr(matcher_module, "_MAX_PAIRS", pairs)
    found = matcher.match_boxes(gt_boxes, boxes)
    assert [torch.equal(*pair) for pair in zip(expected, found, strict=True)] == [True, True]
