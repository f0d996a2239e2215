"""Pairs and suppression agree with plain loops and with torchvision."""

import numpy as np
import pytest
import torch

from app.engine.layers.nms import batched_nms
from app.engine.tiles import pairs
from app.engine.tiles.pairs import iou, kept_by_nms, overlapping_pairs, united_groups


def boxes_at_random(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    corner, wh = rng.integers(0, 60, (count, 2)), rng.integers(1, 30, (count, 2))
    return np.concatenate((corner, corner + wh), axis=1).astype(float), rng.integers(0, 3, count)


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize("count", [0, 1, 2, 60])
def test_each_overlapping_pair_of_a_group_once(count, chunk, monkeypatch):
    monkeypatch.setattr(pairs, "_CHUNK", chunk)
    boxes, groups = boxes_at_random(count)
    expected = {
        (i, j)
        for i in range(count)
        for j in range(i + 1, count)
        if groups[i] == groups[j] and iou(boxes[[i]], boxes[[j]])[0] > 0
    }
    first, second = overlapping_pairs(boxes, groups)
    found = [tuple(sorted(pair)) for pair in zip(first.tolist(), second.tolist(), strict=True)]
    assert len(found) == len(set(found))
    assert set(found) == expected


@pytest.mark.parametrize("seed", range(5))
def test_suppression_is_that_of_torchvision(seed):
    boxes, groups = boxes_at_random(80, seed)
    scores = np.random.default_rng(seed).permutation(80).astype(np.float32)
    first, second = overlapping_pairs(boxes, groups)
    alike = iou(boxes[first], boxes[second]) > 0.3
    first, second = first[alike], second[alike]
    swap = scores[first] < scores[second]
    kept = kept_by_nms(80, np.where(swap, second, first), np.where(swap, first, second))
    given = [torch.from_numpy(values) for values in (boxes, scores, groups)]
    assert sorted(batched_nms(*given, 0.3).tolist()) == np.flatnonzero(kept).tolist()


def test_groups_are_connected_by_chains():
    labels = united_groups(7, np.array([5, 2, 6]), np.array([2, 4, 1]))
    assert labels.tolist() == [0, 1, 2, 3, 2, 2, 1]
    assert united_groups(0, np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []
