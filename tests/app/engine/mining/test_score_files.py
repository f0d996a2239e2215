"""The whole path from files to scores: signs, invariance, and damaged input."""

import math

import numpy as np
import pytest
from PIL import Image

from app.engine.errors import ConfigError, ImageError
from app.engine.mining import STRATEGIES, MiningOptions, score_files
from app.engine.predictor import Predictor

LOOKING = [name for name, strategy in STRATEGIES.items() if strategy.uses_model]
DOUBTING = [name for name, strategy in STRATEGIES.items() if strategy.is_uncertainty]


@pytest.fixture
def make(painted_detector, small_cfg):
    return lambda batch_size=4: Predictor(painted_detector(), small_cfg, batch_size=batch_size)


@pytest.fixture
def pool(paint, tmp_path):
    """Easy and hard images of three sizes, an empty one, and one that is no image."""
    rng = np.random.default_rng(0)
    paths = {}
    for i, size in enumerate([(64, 64), (64, 96), (96, 64), (64, 64), (50, 50)]):
        x = 4 * i
        # The painted detector is as sure as the colour is bright. Objects fill the easy images:
        # to aldd, the edge of an object is a disagreement like any other.
        paths[f"easy{i}"] = paint(f"easy{i}.png", size, (0, 0, *size[::-1], (0, 250, 0)))
        doubtful = rng.choice([60, 190], size=(32, 24, 1)) * np.array([0, 1, 0])
        paths[f"hard{i}"] = paint(f"hard{i}.png", size, (x, 8, x + 24, 40, doubtful))
    paths["empty"] = paint("empty.png", (64, 64))
    paths["broken"] = tmp_path / "broken.png"
    paths["broken"].write_text("no image")
    return paths


def _scores(name, predictor, pool, **kwargs):
    results = list(score_files(name, predictor, iter(pool.values()), **kwargs))
    assert [path for path, _ in results] == list(pool.values())
    return dict(zip(pool, (score for _, score in results), strict=True))


@pytest.mark.parametrize("name", DOUBTING)
@pytest.mark.parametrize("aggregate", ["topk", "sum"])
def test_hard_images_come_before_easy_ones(name, aggregate, make, pool):
    scores = _scores(name, make(), pool, options=MiningOptions(aggregate=aggregate))
    hard = [score for key, score in scores.items() if key.startswith("hard")]
    easy = [score for key, score in scores.items() if key.startswith("easy")]
    assert min(hard) > max(easy)
    assert isinstance(scores["broken"], ImageError)
    if "empty_policy" in STRATEGIES[name].uses:
        assert scores["empty"] < min(easy)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_scores_depend_on_the_image_only(name, make, pool):
    options = MiningOptions(
        empty_policy="sample", views=("flip", "resize", "colour", "cutout", "rotate")
    )
    expected = _scores(name, make(4), pool, seed=7, options=options)
    backwards = dict(reversed(pool.items()))
    shard = {key: pool[key] for key in list(pool)[1::3]}
    for others in (
        _scores(name, make(1), backwards, seed=7, options=options),
        _scores(name, make(3), shard, seed=7, options=options),
        _scores(name, make(4), pool, seed=7, options=options, num_workers=2),
        _scores(name, make(4), {"hard2": pool["hard2"]}, seed=7, options=options),
    ):
        for key, score in others.items():
            if key == "broken":
                assert isinstance(score, ImageError)
            else:
                assert math.isfinite(score)
                assert score == pytest.approx(expected[key], abs=1e-6)


@pytest.mark.parametrize("name", [*LOOKING, "random"])
def test_one_file_no_file(name, make, pool):
    assert list(score_files(name, make(), [])) == []
    ((_, score),) = score_files(name, make(), [pool["hard0"]])
    assert math.isfinite(score)


@pytest.mark.parametrize(
    ("policy", "place"), [("low", "last"), ("high", "first"), ("sample", "between")]
)
@pytest.mark.parametrize("name", ["entropy", "cald"])
def test_place_of_images_without_detections(policy, place, name, make, pool):
    scores = _scores(name, make(), pool, options=MiningOptions(empty_policy=policy))
    others = [s for key, s in scores.items() if key not in ("empty", "broken")]
    low, high = STRATEGIES[name].usual_range
    assert {
        "last": scores["empty"] < min(others),
        "first": scores["empty"] > max(others),
        "between": low <= scores["empty"] <= high,
    }[place]


def test_random_needs_no_model_and_is_uniform(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(60)]
    for path in paths:
        Image.new("RGB", (2, 2)).save(path)
    first, again, other = (
        [score for _, score in score_files("random", None, paths, seed=seed)] for seed in (1, 1, 2)
    )
    assert first == again != other
    assert all(0 <= score < 1 for score in first)
    assert len(set(first)) == 60
    assert 0.35 < np.mean(first) < 0.65


def test_the_folder_does_not_matter(make, tmp_path, pool):
    moved = tmp_path / "elsewhere" / pool["hard1"].name
    moved.parent.mkdir()
    moved.write_bytes(pool["hard1"].read_bytes())
    options = MiningOptions(views=("cutout",))
    both = [pool["hard1"], moved]
    for name in ("random", "cald"):
        (_, here), (_, there) = score_files(name, make(), both, options=options)
        assert here == there


def test_class_weights(make, pool, paint):
    """With all weight on a class, only its map counts."""
    pool = {"red": paint("red.png", (64, 64), (8, 8, 40, 40, (128, 0, 0))), **pool}
    only_red = MiningOptions(class_weights=(1.0, 0.0, 0.0))
    scores = _scores("aldd", make(), pool, options=only_red)
    assert scores["red"] > 0.01
    assert scores["hard0"] == 0
    with pytest.raises(ConfigError, match="2 numbers for 3 classes"):
        score_files("aldd", make(), [], options=MiningOptions(class_weights=(1.0, 1.0)))


def test_unknown_strategy_is_refused_at_once(make):
    with pytest.raises(ConfigError, match="'badge' is unknown; choose one of entropy, least_conf"):
        score_files("badge", make(), [])


def test_cald_runs_one_pass_and_one_for_each_view_in_batches(make, pool):
    predictor = make(4)
    images = [pool[f"easy{i}"] for i in (0, 0, 3, 3)]
    assert len(list(score_files("cald", predictor, images))) == 4
    # 4 images; then 4 flipped and 4 coloured of the same size, and 4 smaller ones.
    assert [len(batch) for batch in predictor.model.batches] == [4, 4, 4, 4]
    assert sum(size != (64, 64) for batch in predictor.model.batches for size in batch) == 4


@pytest.fixture
def tiled(painted_detector, small_cfg):
    """Makes predictors that cut photographs with a side above 64 pixels."""
    small_cfg.INPUT.TILES.SIZE, small_cfg.INPUT.TILES.OVERLAP = 64, 20
    return lambda batch_size=4: Predictor(painted_detector(), small_cfg, batch_size=batch_size)


@pytest.mark.parametrize("name", LOOKING)
def test_photographs_are_looked_at_in_tiles(name, tiled, make, paint):
    """What is doubtful in one tile of a photograph makes the photograph doubtful."""
    doubt = np.random.default_rng(0).choice([60, 190], size=(32, 24, 1)) * np.array([0, 1, 0])
    sure = (70, 10, 100, 40, (0, 250, 0))
    pool = {
        "small": paint("small.png", (64, 60), (8, 8, 32, 40, doubt)),
        "hard": paint("hard.png", (200, 160), (130, 160, 154, 192, doubt), sure),
        "easy": paint("easy.png", (200, 160), sure),
        "empty": paint("empty.png", (150, 70)),
    }
    scores = _scores(name, tiled(), pool)
    assert scores["hard"] > scores["easy"]
    assert all(math.isfinite(score) for score in scores.values())
    if "empty_policy" in STRATEGIES[name].uses:
        assert scores["empty"] < min(scores["hard"], scores["easy"])
    small = {"small": pool["small"]}
    assert _scores(name, tiled(), small) == _scores(name, make(), small)
    backwards = dict(reversed(pool.items()))
    assert _scores(name, tiled(), backwards, num_workers=1) == scores
