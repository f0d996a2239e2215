import torch

from app.engine.modeling.matcher import Matcher
from app.engine.modeling.roi_heads.assignment import ProposalSampler, label_proposals
from app.engine.structures.targets import GroundTruth, Proposals

TRUTH = GroundTruth(torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 40]]), torch.tensor([2, 5]))
BOXES = torch.tensor([[0.0, 0, 10, 9], [21, 21, 40, 40], [0, 0, 3, 3], [50, 50, 60, 60]])
NOTHING = Proposals((64, 64), torch.zeros(0, 4), torch.zeros(0))


def sampler(**changes):
    settings = {
        "matcher": Matcher([0.5], [0, 1]),
        "num_classes": 7,
        "batch_size_per_image": 8,
        "positive_fraction": 0.5,
        **changes,
    }
    return ProposalSampler(**settings)


def test_every_proposal_gets_the_class_of_its_best_object_or_background():
    labelled = label_proposals(BOXES, (64, 64), TRUTH, Matcher([0.5], [0, 1]), 7)
    assert labelled.classes.tolist() == [2, 5, 7, 7]
    foreground = labelled.foreground(7)
    assert torch.equal(foreground.gt_boxes, TRUTH.boxes)
    assert len(foreground) == 2


def test_some_overlaps_may_be_ignored():
    labelled = label_proposals(BOXES, (64, 64), TRUTH, Matcher([0.05, 0.5], [0, -1, 1]), 7)
    assert labelled.classes.tolist() == [2, 5, -1, 7]


def test_objects_are_added_to_the_proposals():
    proposals = Proposals((64, 64), BOXES, torch.zeros(4))
    (with_objects,) = sampler()([proposals], [TRUTH])
    assert sorted(with_objects.classes.tolist()) == [2, 2, 5, 5, 7, 7]
    (without,) = sampler(append_ground_truth=False)([proposals], [TRUTH])
    assert sorted(without.classes.tolist()) == [2, 5, 7, 7]


def test_foreground_is_limited_and_comes_first():
    proposals = Proposals((64, 64), BOXES, torch.zeros(4))
    (chosen,) = sampler(batch_size_per_image=4, positive_fraction=0.25)([proposals], [TRUTH])
    assert chosen.classes[0] < 7
    assert chosen.classes[1:].tolist() == [7, 7]


def test_images_without_objects_or_proposals():
    empty = GroundTruth.empty()
    proposals = Proposals((64, 64), BOXES, torch.zeros(4))
    background, nothing = sampler()([proposals, NOTHING], [empty, empty])
    assert background.classes.tolist() == [7] * 4
    assert len(background.foreground(7)) == len(background.foreground(7).gt_boxes) == 0
    assert len(nothing) == 0
    (only_objects,) = sampler()([NOTHING], [TRUTH])
    assert sorted(only_objects.classes.tolist()) == [2, 5]
