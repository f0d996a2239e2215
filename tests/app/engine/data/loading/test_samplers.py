"""Streams of indices: published numbers, ranks, groups."""

import math
from itertools import islice

import pytest
import torch

from app.engine.config import get_config
from app.engine.data.loading.samplers import (
    batches,
    inference_shard,
    picks_of_rank,
    repeat_factors,
    repeated,
    shuffled,
    shuffled_subset,
    train_stream,
)
from app.engine.errors import ConfigError


def test_shuffled_is_permutations_without_end() -> None:
    stream = list(islice(shuffled(100, seed=10), 200))
    assert sorted(stream[:100]) == sorted(stream[100:]) == list(range(100))
    assert stream[:100] != stream[100:]
    assert stream == list(islice(shuffled(100, seed=10), 200))
    expected = torch.randperm(100, generator=torch.Generator().manual_seed(10)).tolist()
    assert stream[:100] == expected  # detectron2's own stream


def test_ranks_share_one_stream() -> None:
    stream = list(islice(shuffled(7, seed=1), 30))
    ranks = [
        list(islice(picks_of_rank(shuffled(7, seed=1), rank=r, world_size=3), 10)) for r in range(3)
    ]
    assert sorted(pick for rank in ranks for pick in rank) == list(enumerate(stream))


def test_subset_is_fixed() -> None:
    stream = list(islice(shuffled_subset(10, 0.5, seed=3), 25))
    assert len(set(stream)) == 5
    assert sorted(stream[:5]) == sorted(stream[5:10])
    assert set(islice(shuffled_subset(10, 0.01, seed=3), 3)) == {stream_first(10)}


def stream_first(size: int) -> int:
    return next(shuffled(size, seed=3))


def test_repeat_factors_published() -> None:
    factors = repeat_factors([[0, 1], [0], []], 0.5)
    assert factors.tolist() == pytest.approx([math.sqrt(1.5), 1, 1])
    assert repeat_factors([[0, 1], [0], []], 0.5, root=False).tolist() == pytest.approx([1.5, 1, 1])


def test_repeated_meets_its_factors_on_average() -> None:
    factors = torch.tensor([1.0, 2.5, 0.5])
    stream = torch.tensor(list(islice(repeated(factors, seed=0), 8000)))
    counts = torch.bincount(stream, minlength=3) / 2000
    assert counts.tolist() == pytest.approx(factors.tolist(), rel=0.06)
    ones = list(islice(repeated(torch.ones(5), seed=0), 5))
    assert sorted(ones) == list(range(5))


@pytest.mark.parametrize(
    ("size", "world_size", "expected"),
    [
        pytest.param(0, 5, [range(0)] * 5, id="nothing"),
        pytest.param(16, 2, [range(8), range(8, 16)], id="even"),
        pytest.param(2, 3, [range(1), range(1, 2), range(0)], id="fewer than ranks"),
        pytest.param(42, 4, [range(11), range(11, 22), range(22, 32), range(32, 42)], id="uneven"),
    ],
)
def test_inference_shards(size: int, world_size: int, expected: list[range]) -> None:
    shards = [inference_shard(size, rank=r, world_size=world_size) for r in range(world_size)]
    assert shards == expected


def test_batches_never_mix_groups() -> None:
    groups = [1, 0] * 50
    made = list(batches(enumerate(range(100)), 2, groups))
    assert made[0] == [(0, 0), (2, 2)]
    assert len(made) == 50
    assert all((a[1] + b[1]) % 2 == 0 for a, b in made)


def test_samplers_by_name(make_record) -> None:
    records = [make_record(classes=[0]), make_record(classes=[1]), make_record(classes=[0])]
    records[1].extra["dataset"] = "rare"
    cfg = get_config()
    cfg.DATALOADER.REPEAT_THRESHOLD = 1.0
    cfg.DATASETS.TRAIN_REPEAT_FACTOR = [["rare", 3.0]]
    for name in ("TrainingSampler", "RandomSubsetTrainingSampler"):
        cfg.DATALOADER.SAMPLER_TRAIN = name
        assert sorted(islice(train_stream(cfg, records, seed=1), 3)) == [0, 1, 2]
    cfg.DATALOADER.SAMPLER_TRAIN = "WeightedTrainingSampler"
    assert sorted(islice(train_stream(cfg, records, seed=1), 5)) == [0, 1, 1, 1, 2]
    cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    stream = list(islice(train_stream(cfg, records, seed=1), 4000))
    assert stream.count(1) / stream.count(0) == pytest.approx(math.sqrt(2), rel=0.1)
    cfg.DATASETS.TRAIN_REPEAT_FACTOR = [["other", 3.0]]
    cfg.DATALOADER.SAMPLER_TRAIN = "WeightedTrainingSampler"
    with pytest.raises(ConfigError, match="names 'other'"):
        train_stream(cfg, records, seed=1)
