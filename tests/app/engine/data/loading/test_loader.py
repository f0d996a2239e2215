"""Batches do not depend on workers or interruptions; bad images and dead workers are survived."""

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from app.engine.config import CfgNode, get_config
from app.engine.data.loading.ahead import ahead
from app.engine.data.loading.loader import Loader, build_test_loader, build_train_loader
from app.engine.data.loading.packed import PackedRecords
from app.engine.data.loading.samplers import Pick
from app.engine.data.loading.worker_pool import WorkerDiedError, WorkerPool
from app.engine.errors import ConfigError, DatasetError, OutOfMemoryError
from app.engine.structures.record import ImageRecord
from app.engine.structures.sample import Sample


@pytest.fixture
def cfg() -> CfgNode:
    cfg = get_config()
    cfg.MODEL.DEVICE = "cpu"
    cfg.SOLVER.IMS_PER_BATCH = 2
    cfg.INPUT.MIN_SIZE_TRAIN = (16, 20)
    cfg.INPUT.MIN_SIZE_TEST = 16
    cfg.INPUT.CROP.ENABLED = True
    return cfg


@pytest.fixture
def records(make_record) -> list[ImageRecord]:
    sizes = [(24, 32), (32, 24), (24, 36), (20, 30), (40, 20), (22, 44), (30, 20)]
    return [make_record(size=size) for size in sizes]


def _facts(samples: list[Sample]) -> list[tuple[object, ...]]:
    return [
        (s.image_id, s.size, int(s.image.sum()), s.ground_truth and s.ground_truth.boxes.tolist())
        for s in samples
    ]


def _first(loader: Loader, count: int) -> list[list[tuple[object, ...]]]:
    batches = iter(loader)
    facts = [_facts(batch) for batch in islice(batches, count)]
    batches.close()
    return facts


def test_workers_and_interruptions_change_nothing(cfg, records) -> None:
    alone = _first(build_train_loader(cfg, records, seed=5, num_workers=0), 9)
    assert _first(build_train_loader(cfg, records, seed=5, num_workers=2), 9) == alone
    resumed = build_train_loader(cfg, records, seed=5, num_workers=1, skip_batches=4)
    assert _first(resumed, 5) == alone[4:]
    assert _first(build_train_loader(cfg, records, seed=6, num_workers=0), 9) != alone


def test_batches_hold_one_orientation(cfg, records) -> None:
    loader = build_train_loader(cfg, records, seed=1, num_workers=0)
    by_id = {record.image_id: record.width > record.height for record in records}
    for batch in islice(iter(loader), 12):
        assert len(batch) == 2
        assert len({by_id[sample.image_id] for sample in batch}) == 1


def test_ranks_take_different_images(cfg, make_record) -> None:
    records = [make_record() for _ in range(6)]
    seen = []
    for rank in range(2):
        loader = build_train_loader(cfg, records, seed=1, rank=rank, world_size=2, num_workers=0)
        for batch in islice(iter(loader), 3):
            assert len(batch) == 1
            seen.append(batch[0].image_id)
    assert sorted(seen) == list(range(6))
    with pytest.raises(ConfigError, match="multiple of 3"):
        build_train_loader(cfg, records, seed=1, world_size=3)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_unreadable_image_is_replaced_and_counted(cfg, records, caplog, num_workers: int) -> None:
    records[2].path.write_bytes(b"<html>")
    loader = build_train_loader(cfg, records, seed=5, num_workers=num_workers)
    with caplog.at_level(logging.WARNING):
        batches = _first(loader, 14)
    assert all(len(batch) == 2 for batch in batches)
    assert all(fact[0] != records[2].image_id for batch in batches for fact in batch)
    assert loader.problems.counts["unreadable image"] >= 2
    assert len([r for r in caplog.records if "an HTML page" in r.message]) == 1


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"<html>", "training images in a row can be read", id="no pictures"),
        pytest.param(None, r"training images in a row cannot .*No such file", id="missing"),
    ],
)
def test_no_readable_image_ends_training(
    cfg, records, content: bytes | None, reason: str, num_workers: int
) -> None:
    for record in records:
        record.path.unlink() if content is None else record.path.write_bytes(content)
    loader = build_train_loader(cfg, records, seed=5, num_workers=num_workers)
    with pytest.raises(DatasetError, match=reason):
        next(iter(loader))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_mount_that_goes_ends_training(cfg, records, num_workers: int) -> None:
    """More than 5 % of the files, and more than one: the rest would make another model."""
    batches = iter(build_train_loader(cfg, records, seed=5, num_workers=num_workers))
    next(batches)
    for record in records[:2]:
        record.path.unlink()
    with pytest.raises(DatasetError, match=rf"{records[0].path.parent}: 2 of 7 images .*No such"):
        list(islice(batches, 20))


def test_one_missing_image_does_not_end_training(cfg, records, caplog) -> None:
    records[3].path.unlink()
    loader = build_train_loader(cfg, records, seed=5, num_workers=0)
    list(islice(loader, 30))
    assert loader.problems.counts["image not given by its storage"] > 2
    assert "cannot be read from its storage (No such file" in caplog.text


def test_images_lost_for_a_moment_now_and_then_do_not_end_training(cfg, records) -> None:
    loader = build_train_loader(cfg, records, seed=5, num_workers=0)
    batches = iter(loader)
    for record in records:
        content = record.path.read_bytes()
        record.path.unlink()
        list(islice(batches, 5))  # more than a pass
        record.path.write_bytes(content)
    assert loader.problems.counts["image not given by its storage"] >= len(records)


def test_evaluation_ends_when_a_mount_goes(cfg, records) -> None:
    for record in records[2:5]:
        record.path.unlink()
    with pytest.raises(DatasetError, match=r"2 of 7 images cannot be read"):
        list(build_test_loader(cfg, records, batch_size=1, num_workers=0))


def test_test_loader_gives_every_image_once_in_order(cfg, records) -> None:
    for num_workers in (0, 2):
        loader = build_test_loader(cfg, records, batch_size=2, num_workers=num_workers)
        assert len(loader) == 4
        ids = [[sample.image_id for sample in batch] for batch in loader]
        assert ids == [[0, 1], [2, 3], [4, 5], [6]]
    shards = [
        build_test_loader(cfg, records, rank=r, world_size=3, num_workers=0) for r in range(3)
    ]
    assert [len(shard) for shard in shards] == [3, 2, 2]
    assert [s.image_id for shard in shards for (s,) in shard] == list(range(7))
    assert list(build_test_loader(cfg, [], num_workers=0)) == []


def test_test_loader_leaves_unreadable_images_out(cfg, records) -> None:
    records[3].path.unlink()
    loader = build_test_loader(cfg, records, batch_size=2, num_workers=0, with_ground_truth=True)
    batches = list(loader)
    assert [len(batch) for batch in batches] == [2, 1, 2, 1]
    assert batches[0][0].ground_truth is not None
    assert loader.problems.total == 1


def test_dead_worker_is_survived(cfg, records, caplog) -> None:
    expected = _first(build_train_loader(cfg, records, seed=5, num_workers=0), 12)
    others = set(_children())  # an earlier test may have left a helper of multiprocessing
    loader = build_train_loader(cfg, records, seed=5, num_workers=2)
    batches = iter(loader)
    facts = [_facts(next(batches))]
    for survivors in (1, 0):
        for pid in set(_children()) - others:
            os.kill(pid, signal.SIGKILL)
        with caplog.at_level(logging.WARNING):
            facts += [_facts(batch) for batch in islice(batches, 5)]
        assert len(set(_children()) - others) == survivors
        assert f"continuing with {survivors} data workers" in caplog.text
    batches.close()
    assert facts == expected[:11]


class _Killer:
    """A batch maker that an image kills, as a broken decoder would."""

    def __init__(self, deadly: int) -> None:
        self.banned: set[int] = set()
        self.deadly = deadly

    def __call__(self, picks: list[Pick]) -> tuple[list[Sample], list[str]]:
        indices = [index for _, index in picks if index not in self.banned]
        if self.deadly in indices:
            os.kill(os.getpid(), signal.SIGKILL)
        return [Sample(torch.zeros(3, 1, 1), (1, 1), image_id=i) for i in indices], []


@pytest.mark.parametrize("num_workers", [1, 3])
def test_image_that_kills_workers_is_banned_and_never_read_by_the_parent(num_workers: int) -> None:
    def plan() -> Iterator[list[Pick]]:
        for i in range(0, 20, 2):
            yield [(i, i), (i + 1, i + 1)]

    loader = Loader(_Killer(7), plan, num_workers=num_workers)
    ids = [[sample.image_id for sample in batch] for batch in loader]
    assert ids == [[0, 1], [2, 3], [4, 5], [6], *([i, i + 1] for i in range(8, 20, 2))]


def test_banned_images_are_replaced_in_training_and_left_out_in_inference(cfg, records) -> None:
    train = build_train_loader(cfg, records, seed=5, num_workers=0)
    test = build_test_loader(cfg, records, num_workers=0)
    for loader in (train, test):
        loader._make_batch.banned.add(3)
    assert all(len(batch) == 2 for batch in islice(train, 10))
    assert [len(batch) for batch in test] == [1, 1, 1, 0, 1, 1, 1]
    for loader in (train, test):
        (example,) = loader.problems.examples("unreadable image")
        assert "crashed" in example


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:  # noqa: PTH123
        return [int(pid) for pid in file.read().split()]


def test_workers_ignore_signals_for_the_group_and_end_with_the_pool() -> None:
    pool: WorkerPool[int, int] = WorkerPool(lambda x: x * 2, 2)
    for pid in pool.pids:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    pool.submit(0, 21)
    pool.submit(1, 4)
    pool.submit(0, 1)
    assert [pool.receive(0), pool.receive(1), pool.receive(0)] == [42, 8, 2]
    pids = pool.pids
    pool.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_pool_passes_errors_on() -> None:
    def work(number: int) -> int:
        if number == 0:
            raise DatasetError("nothing there")
        return 1 // (number - 1)

    pool = WorkerPool(work, 1)
    pool.submit(0, 0)
    with pytest.raises(DatasetError, match="nothing there"):
        pool.receive(0)
    pool.submit(0, 1)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        pool.receive(0)
    pool.submit(0, 2)
    assert pool.receive(0) == 1
    os.kill(pool.pids[0], signal.SIGKILL)
    with pytest.raises(WorkerDiedError, match="signal 9"):
        pool.receive(0)
    pool.close()


def test_tensors_of_every_layout_travel() -> None:
    tensors = [
        torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4),
        torch.arange(60_000, dtype=torch.float32).reshape(100, 200, 3).permute(2, 0, 1),
        torch.zeros((0, 4)),
        torch.tensor(3.5),
        torch.tensor([True, False]),
    ]
    pool: WorkerPool[int, torch.Tensor] = WorkerPool(lambda i: tensors[i], 1)
    for i, tensor in enumerate(tensors):
        pool.submit(0, i)
        received = pool.receive(0)
        assert torch.equal(received, tensor)
        assert received.dtype == tensor.dtype
        assert received.stride() == tensor.stride()
        received.zero_()  # writable
    pool.close()


def test_fewer_processes_than_asked_for_is_no_error(cfg, records, monkeypatch, caplog) -> None:
    def refuse(self: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", refuse)
    loader = build_test_loader(cfg, records, num_workers=2)
    assert len(list(loader)) == 7
    assert "only 0 of 2 data workers" in caplog.text


def test_ahead_keeps_order_and_passes_errors_on() -> None:
    assert list(ahead(iter(range(10)))) == list(range(10))
    assert list(ahead(iter([]))) == []

    def failing():
        yield 1
        raise DatasetError("broken")

    items = ahead(failing())
    assert next(items) == 1
    with pytest.raises(DatasetError, match="broken"):
        next(items)
    endless = ahead(iter(lambda: 1, 2))
    assert next(endless) == 1
    endless.close()


def test_packed_records(records) -> None:
    packed = PackedRecords(records)
    assert len(packed) == 7
    assert packed[-1].path == records[-1].path
    assert np.array_equal(packed[0].boxes, records[0].boxes)
    assert [r.image_id for r in packed[1:3]] == [1, 2]
    assert [r.image_id for r in packed] == list(range(7))
    assert packed.nbytes < 7 * 1500
    assert len(PackedRecords([])) == 0
    with pytest.raises(IndexError):
        packed[7]


def test_images_that_teach_nothing_are_left_out(cfg, make_record) -> None:
    crowd = make_record()
    crowd.crowd = np.array([True])
    records = [make_record(), make_record([]), crowd]
    facts = _first(build_train_loader(cfg, records, seed=1, num_workers=0), 3)
    assert {fact[0] for batch in facts for fact in batch} == {1}
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    facts = _first(build_train_loader(cfg, records, seed=1, num_workers=0), 6)
    assert {fact[0] for batch in facts for fact in batch} == {0, 1, 2}
    with pytest.raises(DatasetError, match="nothing to train on"):
        build_train_loader(cfg, [make_record([]), crowd], seed=1)
    with pytest.raises(DatasetError, match="nothing to train on"):
        build_train_loader(cfg, [], seed=1)


def test_images_with_few_keypoints_are_left_out(cfg, make_record) -> None:
    cfg.MODEL.KEYPOINT_ON = True
    cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE = 3
    few, many = (np.zeros((1, 17, 3), dtype=np.float32) for _ in range(2))
    few[0, :2, 2], many[0, :3, 2] = 2, 1
    records = [make_record(keypoints=few), make_record(keypoints=many), make_record()]
    facts = _first(build_train_loader(cfg, records, seed=1, num_workers=0), 3)
    assert {fact[0] for batch in facts for fact in batch} == {1}


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("training", [True, False])
def test_want_of_memory_is_no_unreadable_image(
    cfg, records, monkeypatch, training, num_workers
) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("app.engine.data.images.decoding.open_image", refuse)
    build = partial(build_train_loader, seed=0) if training else build_test_loader
    with pytest.raises(OutOfMemoryError, match="num_workers"):
        next(iter(build(cfg, records, num_workers=num_workers)))


def test_a_worker_that_lacks_memory_says_so() -> None:
    pool: WorkerPool[int, object] = WorkerPool(lambda size: np.empty(size, np.uint8), 1)
    try:
        pool.submit(0, 1 << 60)
        with pytest.raises(OutOfMemoryError, match=r"data worker \(.*fewer data workers"):
            pool.receive(0)
    finally:
        pool.close()


def test_workers_die_with_a_killed_parent() -> None:
    ours, theirs = multiprocessing.Pipe()

    def parent() -> None:
        pool: WorkerPool[int, int] = WorkerPool(abs, 2)
        theirs.send(pool.pids)
        signal.pause()

    process = multiprocessing.get_context("fork").Process(target=parent)
    process.start()
    pids = ours.recv()
    process.kill()
    process.join()
    deadline = time.monotonic() + 5
    while any(map(_runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(_runs, pids))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("num_workers", [0, 1])
def test_values_beyond_the_decided_depth_are_counted(
    cfg, make_record, save_image, caplog, num_workers
) -> None:
    cfg.INPUT.BITS_PER_SAMPLE = 12
    records = [make_record() for _ in range(3)]
    for record, top in zip(records, (4095, 5000, 6000), strict=True):
        values = np.full(record.size, 100, dtype=np.uint16)
        values[0, 0] = top
        record.path = save_image(f"{top}.png", values)
    loader = build_test_loader(cfg, records, num_workers=num_workers)
    assert sum(len(batch) for batch in loader) == 3
    assert list(loader.problems.counts.values()) == [2]
    assert caplog.text.count("1 of 768 values lie outside 0..4095") == 2
