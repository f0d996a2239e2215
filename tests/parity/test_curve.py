"""Losses of successive iterations against detectron2's, with the same weights and draws."""

from itertools import islice

import pytest

from verification.parity import curve
from verification.parity.curve import follow, table, train
from verification.parity.curves import CURVES, Recorded

NARROW = "faster_rcnn_narrow_sampled_double"


def test_first_iterations_of_a_narrow_faster_rcnn_are_detectron2s():
    """Assignment, suppression, sampling, losses, optimizer and warm-up, to the last digits."""
    losses = list(islice(train(CURVES[NARROW]), 20))
    followed = follow(NARROW, losses, Recorded.read(NARROW))
    assert followed.passed, str(followed)


def test_rounding_shows_only_where_it_moves_a_choice():
    """In float32, until a first proposal comes or goes, as in detectron2 beside itself."""
    name = "faster_rcnn_narrow_sampled"
    losses = list(islice(train(CURVES[name]), 12))
    followed = follow(name, losses, Recorded.read(name))
    assert followed.within == 12, str(followed)


@pytest.mark.parametrize("name", sorted(CURVES))
def test_a_recorded_curve_follows_itself(name):
    recorded = Recorded.read(name)
    followed = follow(name, recorded.losses, recorded)
    assert followed.passed
    assert followed.within == followed.iterations == CURVES[name].iterations
    assert max(followed.largest.values()) == 0
    assert followed.losses[1] < followed.losses[0]


def test_the_table_has_a_row_of_nine_cells_for_each_curve():
    recordings = {name: Recorded.read(name) for name in CURVES}
    lines = list(table([follow(name, r.losses, r) for name, r in recordings.items()]))
    assert len(lines) == 2 + len(CURVES)
    assert {line.count("|") for line in lines} == {10}
    assert {line.split("|")[-2].strip() for line in lines[2:]} == {"pass", "note"}


def test_figures_are_kept_beside_those_of_other_curves(tmp_path, monkeypatch):
    monkeypatch.setattr(curve, "SAVED", tmp_path / "curves.jsonl")
    assert curve.saved() == []
    recordings = {name: Recorded.read(name) for name in list(CURVES)[:2]}
    followed = [follow(name, r.losses, r) for name, r in recordings.items()]
    for one in reversed(followed):
        curve.save([one])
    curve.save(followed[:1])
    assert [str(one) for one in curve.saved()] == [str(one) for one in followed]


def test_a_single_loss_that_leaves_fails_the_curve():
    name = "retinanet_R_50_FPN_1x"
    recorded = Recorded.read(name)
    losses = [dict(each) for each in recorded.losses]
    losses[7]["loss_cls"] *= 1.01
    followed = follow(name, losses, recorded)
    assert not followed.passed
    assert followed.largest["loss_cls"] == pytest.approx(0.01, rel=0.01)
    assert followed.within == 7
