"""Buckets fill, the order stays, and no image waits for ever."""

from pathlib import Path

import pytest
import torch

from app.engine.errors import ImageError
from app.engine.predictor.batching import run_in_batches
from app.engine.structures.sample import Sample


def _run(sizes, batch_size=2, window=6, group=100, streams=1):
    """Results, batches, and how many samples had been taken when each result came."""
    taken, batches, arrivals = 0, [], []

    def samples():
        nonlocal taken
        for i, size in enumerate(sizes):
            taken += 1
            bad = ImageError("bad")
            yield Path(str(i)), bad if size is None else Sample(torch.zeros(1, size, size), (i, i))

    def submit(batch):
        found = [sample.original_size[0] for sample in batch]
        batches.append(found)
        return lambda: found

    results = []
    for path, result in run_in_batches(
        samples(),
        submit,
        bucket_of=lambda sample: sample.size,
        batch_size=lambda _bucket: batch_size,
        window=window,
        group=group,
        streams=streams,
    ):
        results.append((int(str(path)), result))
        arrivals.append(taken)
    return results, batches, arrivals


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([1], [[0]], id="one"),
        pytest.param([1, 2, 1, 2, 1], [[0, 2], [1, 3], [4]], id="two sizes"),
        pytest.param([None, None], [], id="only unreadable files"),
        pytest.param([1, None, 1], [[0, 2]], id="unreadable between"),
    ],
)
def test_batches_of_one_size(sizes, expected):
    results, batches, _ = _run(sizes)
    assert batches == expected
    assert [index for index, _ in results] == list(range(len(sizes)))
    for index, result in results:
        assert isinstance(result, ImageError) if sizes[index] is None else result == index


def test_a_rare_size_holds_back_one_window_only():
    results, batches, arrivals = _run([9] + [1] * 20)
    assert [0] in batches
    assert arrivals[0] == 6
    assert len(results) == 21
    assert all(taken - index <= 6 for index, taken in enumerate(arrivals))


@pytest.mark.parametrize("start", [0, 5, 10])
def test_batches_do_not_depend_on_the_groups_before(start):
    sizes = [1, 2, 1, None, 1, 2, 2, 2, 1, 1, None, 2, 1]
    results, batches, arrivals = _run(sizes, group=5)
    _, later, _ = _run(sizes[start:], group=5)
    whole = [[sizes[i] for i in batch] for batch in batches]
    from_start = [[sizes[start + i] for i in batch] for batch in later]
    assert whole[len(whole) - len(from_start) :] == from_start
    assert [index for index, _ in results] == list(range(len(sizes)))
    assert arrivals[4] == 5


@pytest.mark.parametrize("streams", [1, 2, 3])
def test_answers_are_awaited_only_when_enough_batches_are_under_way(streams):
    results, batches, arrivals = _run([1, 2, None, 1, 2, 1, 1, 1, 1, 2, 2], streams=streams)
    assert [index for index, _ in results] == list(range(11))
    assert batches == [[0, 3], [1, 4], [5, 6], [7, 8], [9, 10]]
    assert arrivals[0] == {1: 4, 2: 7, 3: 9}[streams]
