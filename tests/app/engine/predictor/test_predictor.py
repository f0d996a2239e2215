"""From images and files to detections: in order, in batches, with bounded memory, repeatable."""

import itertools
import logging

import numpy as np
import pytest
import torch

from app.engine.data.images.reading import read_image
from app.engine.errors import ConfigError, ImageError
from app.engine.predictor import Predictor

RED = (255, 0, 0)
GREY = (0, 0, 128)


@pytest.fixture
def make(painted_detector, small_cfg):
    def predictor(batch_size=4, *, streams=1, max_batch=1000, precision="fp32"):
        model = painted_detector(max_batch)
        return Predictor(
            model, small_cfg, batch_size=batch_size, streams=streams, precision=precision
        )

    return predictor


@pytest.fixture
def ragged(paint):
    """Nine images of four sizes; the fourth is no image, the last has nothing on it."""
    sizes = [(64, 64), (64, 64), (64, 100), (64, 64), (100, 64), (64, 99), (64, 64), (32, 32)]
    paths = [
        paint(f"{i}.png", size, (2 * i, 4, 2 * i + 12, 20, RED), (20, 10, 30, 31, GREY))
        for i, size in enumerate(sizes)
    ]
    paths[3].write_bytes(b"no image")
    return [*paths, paint("empty.png", (64, 64))]


def test_detections_are_in_pixels_of_the_given_image(make):
    image = np.zeros((32, 48, 3), dtype=np.uint8)
    image[4:12, 8:24, 2] = 255  # red, in BGR
    image[20:30, 30:40, 0] = 128
    (found,) = make().detect([image])
    assert found.image_size == (32, 48)
    assert found.classes.tolist() == [0, 2]
    torch.testing.assert_close(
        found.boxes, torch.tensor([[8.0, 4, 24, 12], [30, 20, 40, 30]]), atol=0.6, rtol=0
    )
    assert found.scores[0] > 0.8
    assert found.class_probs is None


def test_nothing_in_nothing_out(make):
    assert make().detect([]) == []
    assert list(make().detect_files([])) == []
    assert list(make().detect_files([], num_workers=1)) == []


@pytest.mark.parametrize("streams", [1, 2, 3])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_files_keep_their_order_and_answers_whatever_the_batches(
    make, ragged, num_workers, streams
):
    expected = [
        None if i == 3 else make(1).detect([read_image(p)])[0] for i, p in enumerate(ragged)
    ]
    predictor = make(3, streams=streams)
    results = list(predictor.detect_files(iter(ragged), num_workers=num_workers))
    assert [path for path, _ in results] == ragged
    for i, (_, found) in enumerate(results):
        if i == 3:
            assert isinstance(found, ImageError)
            assert "3.png" in str(found)
        else:
            assert torch.equal(found.boxes, expected[i].boxes)
            assert torch.equal(found.scores, expected[i].scores)
    assert len(results[-1][1]) == 0
    for batch in predictor.model.batches:
        assert len(batch) <= 3
        assert len({(-(-h // 32), -(-w // 32)) for h, w in batch}) == 1
    assert sum(map(len, predictor.model.batches)) == 8


@pytest.mark.parametrize("num_workers", [0, 2])
def test_reads_only_a_few_files_ahead(make, paint, num_workers):
    path = paint("one.png", (32, 32), (0, 0, 9, 9, RED))
    taken = itertools.count()
    endless = (path for _ in taken)
    results = make(2).detect_files(endless, num_workers=num_workers)
    for _ in range(20):
        next(results)
    # 20 delivered, one window of 4 batches, a batch in the queue (and one item on its way there
    # and from there), and what two workers hold.
    assert next(taken) <= 20 + 4 * 2 + (2 + 2 if num_workers else 0) + 2 * num_workers + 1
    results.close()


def test_memory_that_runs_out_halves_the_batch(make, ragged, caplog):
    predictor = make(4, max_batch=1)
    with caplog.at_level(logging.WARNING):
        results = list(predictor.detect_files(ragged))
    assert predictor.batch_size == 1
    assert [r.getMessage() for r in caplog.records] == [
        "Memory is full: going on with batches of 2",
        "Memory is full: going on with batches of 1",
    ]
    for (_, found), (_, expected) in zip(results, make(1).detect_files(ragged), strict=True):
        if not isinstance(expected, ImageError):
            assert torch.equal(found.boxes, expected.boxes)


def test_an_image_too_large_for_memory_is_reported(make, paint):
    path = paint("one.png", (32, 64), (0, 0, 9, 9, RED))
    predictor = make(2, max_batch=0)
    ((_, problem),) = predictor.detect_files([path])
    assert isinstance(problem, ImageError)
    assert "one.png" in str(problem)
    assert "INPUT.MAX_SIZE_TEST" in str(problem)
    with pytest.raises(ImageError, match="do not fit"):
        predictor.detect([read_image(path)] * 3)


def test_lower_precision_changes_little(make, ragged):
    images = [read_image(ragged[i]) for i in (0, 1, 2)]
    for exact, rough in zip(
        make().detect(images), make(precision="bf16").detect(images), strict=True
    ):
        torch.testing.assert_close(exact.scores, rough.scores, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        pytest.param("fp16", "needs a GPU", id="fp16 on a CPU"),
        pytest.param("int4", "choose one of fp32, bf16, fp16", id="unknown"),
    ],
)
def test_precision_that_cannot_be_honoured(make, precision, message):
    with pytest.raises(ConfigError, match=message):
        make(precision=precision)


@pytest.mark.parametrize("format", ["BGR", "RGB"])
def test_arrays_and_files_give_the_same(make, paint, small_cfg, format):
    small_cfg.INPUT.FORMAT = format
    path = paint("one.png", (50, 70), (5, 5, 30, 20, RED))
    (expected,) = make().detect([read_image(path)])
    ((_, found),) = make().detect_files([path])
    assert torch.equal(found.boxes, expected.boxes)
    assert found.classes.tolist() == [{"BGR": 2, "RGB": 0}[format]]


@pytest.mark.parametrize("format", ["L", "YUV-BT.601"])
def test_arrays_become_what_a_network_takes(make, paint, small_cfg, format):
    small_cfg.INPUT.FORMAT = format
    path = paint("one.png", (50, 70), (5, 5, 30, 20, RED))
    predictor = make()
    sample = predictor._sample(read_image(path))
    assert torch.equal(sample.image, predictor._mapper.from_file(path).image)


def test_the_given_model_is_left_alone(painted_detector, small_cfg):
    model = painted_detector().train()
    Predictor(model, small_cfg).detect([np.zeros((8, 8, 3), dtype=np.uint8)])
    assert model.training
    assert model.batches == []


def test_streams_whose_memory_runs_out_go_on_with_smaller_batches(make, ragged):
    predictor = make(2, streams=2, max_batch=1)
    results = list(predictor.detect_files(ragged))
    assert predictor.batch_size == 1
    for (_, found), (_, expected) in zip(results, make(1).detect_files(ragged), strict=True):
        if not isinstance(expected, ImageError):
            assert torch.equal(found.boxes, expected.boxes)


def test_an_image_too_large_for_memory_is_reported_by_streams(make, paint):
    path = paint("one.png", (32, 64), (0, 0, 9, 9, RED))
    results = make(2, streams=2, max_batch=0).detect_files([path] * 3)
    assert ["do not fit" in str(problem) for _, problem in results] == [True] * 3
