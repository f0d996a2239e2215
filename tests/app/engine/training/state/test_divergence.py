"""When a loss has diverged, and when it has only risen."""

import pytest

from app.engine.checkpoint.store import is_plain
from app.engine.training.state.divergence import LossHistory


def recorded(losses: list[float]) -> LossHistory:
    record = LossHistory(len(losses))
    for loss in losses:
        record.add(loss)
    return record


LOST = [
    pytest.param([1.0] * 20 + [2.0] * 70 + [101.0] * 10, id="100 times the first 20"),
    pytest.param([2.0] * 20 + [1e9] * 40, id="soon after the first 20"),
    pytest.param(
        [2.0, 1e5] + [3.8e12] * 18 + [7.5e10] * 20 + [3.6e9] * 20, id="from the second on"
    ),
    pytest.param([2.0] + [300.0] * 59, id="stuck from the second on"),
    pytest.param([5e6] * 60, id="stuck from the first on"),
    pytest.param([0.001] * 50 + [3.0] * 10, id="of a model that was very good"),
    pytest.param([1.5, 400.0], id="two iterations"),
    pytest.param([1.5] * 6 + [1e4] * 6, id="twelve iterations"),
    pytest.param([300.0] * 20 + [40000.0] * 20, id="of losses with large weights"),
]


@pytest.mark.parametrize("losses", LOST)
def test_losses_beyond_all_sense(losses: list[float]) -> None:
    complaint = recorded(losses).complaint(at_end=True)
    assert complaint.startswith("The loss, ")
    assert "times that of the beginning" in complaint


@pytest.mark.parametrize(
    "losses",
    [
        pytest.param([], id="no iteration"),
        pytest.param([1e12], id="one iteration"),
        pytest.param([1.0] * 20 + [99.0] * 80, id="99 times the first 20"),
        pytest.param([2.0 - i / 50 for i in range(99)], id="falling"),
        pytest.param([0.5 + i / 20 for i in range(99)], id="rising while the rate warms up"),
        pytest.param([1.0] * 20 + [1e9] * 60 + [1.0] * 20, id="a rise that has passed"),
        pytest.param([0.001] * 50 + [0.9] * 10, id="a very good model becomes a usual one"),
        pytest.param([0.001, 1.6], id="a first batch without objects"),
        pytest.param([0.0, 0.0, 1.5, 0.0], id="most batches without objects"),
        pytest.param([0.001] + [300.0] * 20 + [90.0] * 20, id="large weights, first batch empty"),
        pytest.param([300.0] * 20 + [900.0] * 20, id="large weights"),
    ],
)
def test_losses_that_may_be(losses: list[float]) -> None:
    assert recorded(losses).complaint(at_end=True) == ""


@pytest.mark.parametrize(
    ("losses", "lost"),
    [
        pytest.param([1.0] + [1e9] * 8, False, id="too early to say"),
        pytest.param([1.0] + [1e9] * 9, True, id="the second half of ten"),
        pytest.param([1.0] * 30 + [1e9] * 9, False, id="a rise that may pass"),
        pytest.param([1.0] * 30 + [1e9] * 20, True, id="twenty iterations"),
    ],
)
def test_in_the_midst_of_a_run_it_must_last(losses: list[float], lost: bool) -> None:
    assert bool(recorded(losses).complaint(at_end=False)) == lost


@pytest.mark.parametrize("losses", [*LOST, pytest.param([], id="none")])
def test_the_beginning_survives_a_restart(losses: list[float]) -> None:
    before = recorded(losses)
    again = LossHistory(len(losses))
    again.load_state_dict(before.state_dict())
    assert again.complaint(at_end=True) == before.complaint(at_end=True)
    assert is_plain(before.state_dict())
    again.load_state_dict(None)  # a checkpoint of the first release
    assert again.complaint(at_end=True) == ""
