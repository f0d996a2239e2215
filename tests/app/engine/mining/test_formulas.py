"""Every formula against numbers worked out by hand."""

import math

import pytest
import torch

from app.engine.errors import ConfigError
from app.engine.mining import STRATEGIES, MiningOptions
from app.engine.mining._aggregate import aggregate, empty_score
from app.engine.mining._strategy import Candidate
from app.engine.mining.aldd import disagreement
from app.engine.mining.cald import jensen_shannon, metric
from app.engine.mining.entropy import entropy
from app.engine.mining.least_confidence import least_confidence
from app.engine.mining.margin import margin

LN2 = math.log(2)
SOFTMAX = [[0.5, 0.3, 0.2], [0.9, 0.05, 0.05], [1 / 3, 1 / 3, 1 / 3]]
SIGMOID = [[0.5, 0.1], [0.9, 0.2], [0.25, 0.05]]


@pytest.mark.parametrize(
    ("formula", "probs", "softmax", "expected"),
    [
        pytest.param(least_confidence, SOFTMAX, True, [0.5, 0.1, 2 / 3], id="least confidence"),
        pytest.param(least_confidence, SIGMOID, False, [1.0, 0.2, 0.5], id="least conf., sigmoid"),
        pytest.param(margin, SOFTMAX, True, [0.8, 0.15, 1.0], id="margin"),
        pytest.param(margin, [[0.1, 0.2, 0.7]], True, [0.5], id="margin to the background"),
        pytest.param(margin, SIGMOID, False, [1.0, 0.2, 0.5], id="margin, sigmoid"),
        pytest.param(entropy, SOFTMAX, True, [0.9372306, 0.3589957, 1.0], id="entropy"),
        pytest.param(entropy, SIGMOID, False, [1.0, 0.4689956, 0.8112781], id="entropy, sigmoid"),
        pytest.param(entropy, [[0.0], [1.0]], False, [0.0, 0.0], id="entropy of certainty"),
        pytest.param(entropy, [[1.0000001]], False, [0.0], id="entropy of a rounding error"),
    ],
)
def test_uncertainty_of_a_detection(formula, probs, softmax, expected):
    assert formula(torch.tensor(probs), softmax).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        pytest.param("topk", (0.9 + 0.8 + 0.6 + 0.5 + 0.4) / 5, id="five largest"),
        pytest.param("max", 0.9, id="max"),
        pytest.param("mean", 3.4 / 7, id="mean"),
        pytest.param("sum", 3.4, id="sum"),
    ],
)
def test_aggregate(how, expected):
    assert aggregate(torch.tensor([0.1, 0.9, 0.8, 0.1, 0.6, 0.5, 0.4]), how) == pytest.approx(
        expected
    )
    assert aggregate(torch.tensor([0.3]), how) == pytest.approx(0.3)


@pytest.mark.parametrize("name", ["least_confidence", "margin", "entropy"])
@pytest.mark.parametrize("background", [False, True], ids=["sigmoid", "softmax"])
def test_detections_below_the_threshold_do_not_count(name, background, scripted, found):
    doubtful = [0.5, 0.0, 0.5] if background else [0.5, 0.1]
    faint = [0.04, 0.01, 0.95] if background else [0.04, 0.01]
    answers = [[doubtful], [doubtful, faint], [faint], []]
    model = scripted(2, [found(probs, background=background) for probs in answers])
    scores = STRATEGIES[name].score(_candidates(4), model, MiningOptions(aggregate="mean"))
    assert scores == [scores[0], scores[0], None, None]
    assert scores[0] is not None


def test_jensen_shannon():
    p = torch.tensor([[1.0, 0.0], [0.3, 0.3], [0.9, 0.1]])
    q = torch.tensor([[0.0, 1.0], [0.5, 0.5], [0.1, 0.9]])
    third = LN2 + 0.9 * math.log(0.9) + 0.1 * math.log(0.1)
    assert jensen_shannon(p, q).tolist() == pytest.approx([LN2, 0.0, third], abs=1e-6)


BOX = (0, 0, 10, 10)
HALF = (0, 0, 10, 5)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param([([0.8, 0.1], BOX)], 0.5, id="same again: |1 + 0.8 - 1.3|"),
        pytest.param([([0.8, 0.1], HALF)], 0.0, id="half the box: |0.5 + 0.8 - 1.3|"),
        pytest.param([([0.4, 0.05], BOX)], 0.3, id="less sure: |1 + 0.6 - 1.3|"),
        pytest.param([([0.8, 0.1], (20, 20, 30, 30))], 0.5, id="elsewhere: |0 + 0.8 - 1.3|"),
        pytest.param(
            [([0.8, 0.1], HALF), ([0.4, 0.05], BOX)], 0.3, id="the best overlap is matched"
        ),
        pytest.param([], 0.0, id="nothing seen"),
    ],
)
def test_cald_metric(seen, expected, found):
    reference = found([[0.8, 0.1]], [BOX])
    view = found([probs for probs, _ in seen], [box for _, box in seen])
    assert metric(reference, reference.boxes, view, 2) == pytest.approx(expected, abs=1e-5)


def test_cald_metric_is_at_most_one(found):
    faint, elsewhere = found([[0.06]], [BOX]), found([[0.06]], [(20, 20, 30, 30)])
    assert metric(faint, faint.boxes, elsewhere, 1) == 1.0


def test_cald_metric_takes_the_least_of_the_references_and_ignores_background(found):
    reference = found([[0.8, 0.1, 0.1], [0.3, 0.1, 0.6]], [BOX, (20, 0, 30, 10)], background=True)
    view = found([[0.8, 0.1, 0.1], [0.3, 0.1, 0.6]], [BOX, (20, 0, 30, 10)], background=True)
    # 1 + 0.8 and 1 + 0.3 (not 0.6, the background's).
    assert metric(reference, reference.boxes, view, 2) == pytest.approx(0.0, abs=1e-5)


def test_cald_is_minus_the_mean_over_the_views(scripted, found):
    reference = found([[0.8]], [(0, 0, 16, 32)])
    mirrored = found([[0.8]], [(16, 0, 32, 32)])
    model = scripted(1, [reference, found([]), mirrored, found([])])
    options = MiningOptions(views=("flip", "colour"))
    scores = STRATEGIES["cald"].score(_candidates(2), model, options)
    assert scores[0] == pytest.approx(-(0.5 + 0.0) / 2, abs=1e-5)
    assert scores[1] is None


def test_aldd_disagreement_of_two_halves():
    # The left half is surely background, the right half surely an object.
    probs = torch.zeros(1, 1, 18)
    probs[..., 9:] = 1
    # At distance d from the border a window of 9 (fewer at the edge) mixes both: the even mix
    # of 4 and 5 comes closest to one bit, and a tile takes its maximum.
    mix = 4 / 9
    bits = -(mix * math.log2(mix) + (1 - mix) * math.log2(1 - mix))
    assert disagreement(probs).tolist() == pytest.approx([bits], abs=1e-5)
    assert disagreement(torch.full((2, 5, 7), 0.5)).tolist() == pytest.approx([0, 0], abs=1e-5)


def test_aldd_averages_tiles_levels_and_weighted_classes(scripted):
    split = torch.zeros(40, 18)
    split[:, 9:] = 1
    sure = torch.zeros(40, 18)
    one = float(disagreement(split[None]))
    # Tiles of 32 rows: 32 + 8, both with the border in them.
    assert one == pytest.approx(0.9910761, abs=1e-5)
    maps = [[torch.stack((split, sure)), torch.stack((sure, sure))[:, ::2, ::2]]]
    score = STRATEGIES["aldd"].score
    assert score(_candidates(1), scripted(2, maps=maps), MiningOptions()) == pytest.approx(
        [one / 4]
    )
    weighted = MiningOptions(class_weights=(3.0, 1.0))
    assert score(_candidates(1), scripted(2, maps=maps), weighted) == pytest.approx([one * 3 / 8])
    with pytest.raises(ConfigError, match="leave them empty"):
        score(_candidates(1), scripted(2, maps=[[split[None]]]), weighted)


def test_random_is_uniform_in_the_seed(scripted):
    candidates = [Candidate(torch.empty(0), seed) for seed in (0, 2**63, 2**64 - 1)]
    scores = STRATEGIES["random"].score(candidates, scripted(1), MiningOptions())
    assert scores == pytest.approx([0.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param("low", -10.0, id="after all others"),
        pytest.param("high", 1000.0, id="before all others"),
        pytest.param("sample", -0.75, id="somewhere between"),
    ],
)
def test_empty_policy(policy, expected):
    assert empty_score(policy, 0.25, (-1.0, 0.0)) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"aggregate": "median"}, "topk, max, mean, sum", id="aggregate"),
        pytest.param({"empty_policy": "middle"}, "low, high, sample", id="empty policy"),
        pytest.param({"views": ("flip", "blur")}, "'blur' is unknown", id="view"),
        pytest.param({"views": ()}, "views is empty", id="no view"),
        pytest.param({"class_weights": (1.0, -1.0)}, "not negative", id="negative weight"),
        pytest.param({"class_weights": (0.0, 0.0)}, "above 0", id="all weights zero"),
        pytest.param({"class_weights": (math.nan, 1.0)}, "not negative", id="NaN weight"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        MiningOptions(**options)


def _candidates(count: int) -> list[Candidate]:
    return [Candidate(torch.zeros((3, 32, 32), dtype=torch.uint8), seed) for seed in range(count)]
