import pytest
import torch

from app.engine.modeling.panoptic import PanopticMerge
from app.engine.structures.detections import Detections


def instances(*spans, scores=None, classes=None):
    """Instances that cover columns [start, stop) of an image of 4 x 10 pixels."""
    masks = torch.zeros(len(spans), 4, 10, dtype=torch.bool)
    for mask, (start, stop) in zip(masks, spans, strict=True):
        mask[:, start:stop] = True
    count = len(spans)
    scores = torch.linspace(0.9, 0.6, count) if scores is None else torch.tensor(scores)
    classes = torch.arange(count) if classes is None else torch.tensor(classes)
    return Detections((4, 10), torch.zeros(count, 4), scores, classes, masks=masks)


SEMANTIC = torch.tensor([[0, 0, 0, 0, 3, 3, 3, 3, 5, 5]] * 4)
MERGE = PanopticMerge(stuff_min_area=9)


def test_things_first_then_stuff_large_enough():
    segments, about = MERGE(instances((0, 5)), SEMANTIC)
    assert segments[0].tolist() == [1, 1, 1, 1, 1, 2, 2, 2, 0, 0]
    assert segments.dtype == torch.int32
    assert about == [
        {"id": 1, "isthing": True, "score": pytest.approx(0.9), "category_id": 0, "instance_id": 0},
        {"id": 2, "isthing": False, "category_id": 3, "area": 12},
    ]


@pytest.mark.parametrize(
    ("spans", "scores", "things"),
    [
        pytest.param([(0, 4), (2, 6)], None, [1, 1, 1, 1, 2, 2], id="half covered stays"),
        pytest.param([(0, 4), (1, 6)], None, [1, 1, 1, 1, 0, 0], id="more than half goes"),
        pytest.param([(0, 2), (3, 5)], [0.9, 0.4], [1, 1, 0, 0, 0, 0], id="unlikely"),
        pytest.param([(0, 2), (1, 5)], [0.6, 0.9], [2, 1, 1, 1, 1, 0], id="likelier first"),
        pytest.param([(0, 0), (1, 3)], None, [0, 1, 1, 0, 0, 0], id="an empty mask"),
    ],
)
def test_who_gets_a_pixel(spans, scores, things):
    # 5 of 10 columns covered is not more than half only for exact halves: see the first row.
    nothing = torch.zeros(4, 10, dtype=torch.int64)
    segments, about = MERGE(instances(*spans, scores=scores), nothing)
    assert segments[0, :6].tolist() == things
    assert [segment["id"] for segment in about] == list(range(1, max(things) + 1))


def test_no_instances_and_no_stuff():
    segments, about = MERGE(instances(), torch.zeros(4, 10, dtype=torch.int64))
    assert not segments.any()
    assert about == []


@pytest.mark.parametrize(("share", "most"), [(0.0, 0), (0.29, 29), (0.5, 50), (0.505, 50)])
def test_how_much_of_an_instance_others_may_have(share, most):
    """0.29 * 100 is a little less than 29 in floating point."""
    assert PanopticMerge(overlap_thresh=share)._most_taken(100) == most
