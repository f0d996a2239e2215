"""Threads that run batches in parallel: their cores, their failures, their end."""

import threading
import time

import pytest

from app.engine.predictor.streams import side_by_side

FULL = object()


def _streams(run, count=2, begin=lambda: None):
    return side_by_side(run, count, begin=begin, failed=lambda result: result is FULL)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_answers_belong_to_their_batches(count):
    with _streams(lambda batch: [2 * value for value in batch], count) as submit:
        answers = [submit([number, number + 1]) for number in range(9)]
        assert [answer() for answer in answers] == [[2 * n, 2 * n + 2] for n in range(9)]


def test_batches_run_at_the_same_time_in_threads_that_were_prepared():
    both, prepared = threading.Barrier(2, timeout=10), threading.local()

    def run(batch):
        both.wait()
        return [prepared.share]

    with _streams(run, begin=lambda: setattr(prepared, "share", 7)) as submit:
        answers = [submit([0]), submit([1])]
        assert [answer() for answer in answers] == [[7], [7]]


def test_what_failed_beside_others_runs_again_alone():
    running, crowds, lock = 0, [], threading.Lock()

    def run(batch):
        nonlocal running
        with lock:
            running += 1
            crowds.append(running)
        time.sleep(0.05)
        with lock:
            crowded, running = crowds[-1] > 1, running - 1
        return [FULL if crowded else value for value in batch]

    with _streams(run) as submit:
        answers = [submit([value]) for value in "abcd"]
        assert [answer() for answer in answers] == [["a"], ["b"], ["c"], ["d"]]
    assert max(crowds) == 2


def test_an_error_reaches_the_one_who_asks():
    def run(batch):
        raise RuntimeError("a bug")

    with _streams(run) as submit, pytest.raises(RuntimeError, match="a bug"):
        submit([1])()


def test_an_early_end_waits_for_nothing_and_begins_no_batch_more():
    begun, go_on = [], threading.Event()

    def run(batch):
        begun.append(batch)
        go_on.wait(timeout=10)
        return batch

    before = set(threading.enumerate())
    with _streams(run) as submit:
        for number in range(10):
            submit([number])
    streams = set(threading.enumerate()) - before
    assert len(streams) == 2
    go_on.set()
    for stream in streams:
        stream.join(timeout=10)
        assert not stream.is_alive()
    assert len(begun) <= 2
