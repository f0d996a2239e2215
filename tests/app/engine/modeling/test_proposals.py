import pytest
import torch

from app.engine.errors import DatasetError
from app.engine.modeling.box_regression import BoxCoder
from app.engine.modeling.proposals import ProposalFilter, precomputed_proposals
from app.engine.structures.sample import Sample
from app.engine.structures.targets import Proposals

ANCHORS = [
    torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [25, 25, 40, 40]]),
    torch.tensor([[0.0, 0, 10, 10], [5, 5, 5, 9]]),
]
LOGITS = [torch.tensor([[3.0, 2.0, 1.0, 0.0]]), torch.tensor([[2.5, 9.0]])]


def filtered(size=(32, 32), **changes):
    settings = {"pre_nms_topk": 10, "post_nms_topk": 10, **changes}
    deltas = [torch.zeros(1, len(a), 4) for a in ANCHORS]
    (proposals,) = ProposalFilter(**settings)(ANCHORS, LOGITS, deltas, BoxCoder(), [size])
    return proposals


def test_suppression_is_within_a_level_and_the_order_over_all():
    # The second anchor overlaps the first; the same box on the next level stays; the box
    # without width goes.
    proposals = filtered()
    assert proposals.objectness_logits.tolist() == [3.0, 2.5, 1.0, 0.0]
    assert proposals.boxes[3].tolist() == [25, 25, 32, 32]


@pytest.mark.parametrize(
    ("changes", "logits"),
    [
        pytest.param({"pre_nms_topk": 1}, [3.0], id="best of each level only"),
        pytest.param({"post_nms_topk": 2}, [3.0, 2.5], id="best of the image only"),
        pytest.param({"nms_thresh": 0.95}, [3.0, 2.5, 2.0, 1.0, 0.0], id="less suppression"),
        pytest.param({"min_size": 8}, [3.0, 2.5, 1.0], id="small ones go"),
        pytest.param({"size": (20, 20)}, [3.0, 2.5], id="outside the image"),
    ],
)
def test_settings(changes, logits):
    assert filtered(**changes).objectness_logits.tolist() == logits


@pytest.mark.parametrize("where", ["deltas", "logits"])
def test_a_box_that_is_not_finite_goes_alone(where):
    deltas, logits = [torch.zeros(1, len(a), 4) for a in ANCHORS], [x.clone() for x in LOGITS]
    (deltas if where == "deltas" else logits)[0][0, 2] = torch.nan
    filter_ = ProposalFilter(pre_nms_topk=10, post_nms_topk=10)
    (found,) = filter_(ANCHORS, logits, deltas, BoxCoder(), [(32, 32)])
    assert found.objectness_logits.tolist() == [3.0, 2.5, 0.0]


def test_precomputed_proposals_come_with_the_sample():
    proposals = Proposals((8, 8), torch.zeros(1, 4), torch.zeros(1))
    sample = Sample(torch.zeros(3, 8, 8), (8, 8), proposals=proposals)
    assert len(precomputed_proposals([sample], torch.device("cpu"))[0]) == 1
    without = Sample(torch.zeros(3, 8, 8), (8, 8), image_id="a.jpg")
    with pytest.raises(DatasetError, match=r"a\.jpg has no precomputed proposals"):
        precomputed_proposals([sample, without], torch.device("cpu"))
