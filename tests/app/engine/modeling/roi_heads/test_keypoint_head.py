import pytest
import torch

from app.engine.errors import DatasetError
from app.engine.modeling.roi_heads.assignment import LabelledProposals
from app.engine.modeling.roi_heads.keypoint_head import (
    KeypointHead,
    heatmaps_to_keypoints,
    keypoints_to_cells,
    with_visible_keypoints,
)
from app.engine.structures.targets import GroundTruth

BOX = torch.tensor([[10.0, 20, 30, 60]])


@pytest.mark.parametrize(
    ("keypoint", "cell", "valid"),
    [
        pytest.param([10.0, 20.0, 2.0], (0, 0), True, id="top left corner"),
        pytest.param([30.0, 60.0, 2.0], (9, 9), True, id="bottom right edge is the last cell"),
        pytest.param([15.9, 41.0, 1.0], (2, 5), True, id="occluded but labelled"),
        pytest.param([15.9, 41.0, 0.0], (0, 0), False, id="not labelled"),
        pytest.param([9.9, 41.0, 2.0], (0, 0), False, id="left of the box"),
        pytest.param([15.0, 60.1, 2.0], (0, 0), False, id="below the box"),
    ],
)
def test_cell_of_a_keypoint(keypoint, cell, valid):
    cells, found = keypoints_to_cells(torch.tensor([[keypoint]]), BOX, 10)
    assert found.item() is valid
    assert cells.item() == cell[1] * 10 + cell[0]


def test_decoding_finds_the_encoded_cell():
    torch.manual_seed(0)
    keypoints = torch.cat(
        (BOX[:, None, :2] + torch.rand(1, 5, 2) * 20, torch.full((1, 5, 1), 2.0)), 2
    )
    cells, _ = keypoints_to_cells(keypoints, BOX, 56)
    maps = torch.zeros(1, 5, 56 * 56).scatter_(2, cells[:, :, None], 9.0).view(1, 5, 56, 56)
    found = heatmaps_to_keypoints(maps, BOX)
    # A cell is 20 / 56 wide and 40 / 56 high; one pixel of the stretched map on top.
    assert (found[..., :2] - keypoints[..., :2]).abs().max() < 1.5
    assert (found[..., 2] > 0).all()


def test_points_and_scores_equal_detectron2s():
    generator = torch.Generator().manual_seed(3)
    torch.randn(6, 13, generator=generator)
    maps = torch.randn(2, 3, 14, 14, generator=generator) * 3
    boxes = torch.tensor([[3.0, 4.0, 30.5, 20.25], [10, 10, 10.5, 60]])
    expected = [
        [
            [3.4910715, 14.9926472, 0.4904282],
            [3.4910715, 8.3014708, 0.5238796],
            [28.0446434, 4.4779410, 0.2144311],
        ],
        [[10.5, 10.5, 0.2687086], [10.5, 37.5, 0.0230181], [10.5, 30.5, 0.1717399]],
    ]
    torch.testing.assert_close(
        heatmaps_to_keypoints(maps, boxes), torch.tensor(expected), atol=1e-5, rtol=1e-5
    )


def head(**changes):
    torch.manual_seed(0)
    return KeypointHead(4, num_keypoints=3, conv_dims=(8, 8), **changes)


def proposals(keypoints):
    keypoints = None if keypoints is None else torch.tensor(keypoints)
    truth = GroundTruth(BOX, torch.zeros(1, dtype=torch.int64), None, keypoints)
    zeros = torch.zeros(1, dtype=torch.int64)
    return LabelledProposals((64, 64), BOX, zeros, zeros, truth)


VISIBLE = [[[15.0, 30.0, 2.0], [20.0, 50.0, 1.0], [0.0, 0.0, 0.0]]]
HIDDEN = [[[15.0, 30.0, 0.0], [99.0, 50.0, 2.0], [0.0, 0.0, 0.0]]]


def test_proposals_without_a_visible_keypoint_inside_are_left_out():
    assert len(with_visible_keypoints(proposals(VISIBLE))) == 1
    assert len(with_visible_keypoints(proposals(HIDDEN))) == 0
    nothing = proposals(VISIBLE).select(torch.zeros(0, dtype=torch.int64))
    assert len(with_visible_keypoints(nothing)) == 0


def test_loss_is_divided_by_visible_keypoints_or_a_fixed_number():
    x = torch.rand(1, 4, 14, 14)
    by_visible = head().loss(x, [proposals(VISIBLE)]).item()
    fixed = head(loss_divisor=8.0, loss_weight=4.0).loss(x, [proposals(VISIBLE)]).item()
    assert fixed == pytest.approx(by_visible * 2 / 8 * 4)


@pytest.mark.parametrize("divisor", [0.0, 8.0])
def test_nothing_visible_costs_nothing(divisor):
    model = head(loss_divisor=divisor)
    nothing = proposals(VISIBLE).select(torch.zeros(0, dtype=torch.int64))
    for x, batch in (
        (torch.rand(0, 4, 14, 14), nothing),
        (torch.rand(1, 4, 14, 14), proposals(HIDDEN)),
    ):
        loss = model.loss(x, [batch])
        loss.backward()
        assert loss.item() == 0.0


def test_heatmaps_are_four_times_the_crop():
    assert head()(torch.rand(2, 4, 14, 14)).shape == (2, 3, 56, 56)
    assert heatmaps_to_keypoints(head()(torch.rand(0, 4, 14, 14)), torch.zeros(0, 4)).shape == (
        0,
        3,
        3,
    )


def test_objects_without_keypoints_are_named():
    with pytest.raises(DatasetError, match="KEYPOINT_ON"):
        with_visible_keypoints(proposals(None))
