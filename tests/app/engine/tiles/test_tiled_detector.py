"""Photographs are cut, looked at in batches and put together; other images are left alone."""

import numpy as np
import pytest
import torch

from app.engine.errors import DoesNotFitError
from app.engine.modeling.detector import Detector
from app.engine.predictor import Predictor
from app.engine.structures.detections import Detections
from app.engine.structures.tiles import TileGrid
from app.engine.tiles import collector

SIZE = (200, 250)
OBJECTS = np.array(
    [
        [3, 3, 10, 20],
        [60, 60, 79, 70],
        [140, 20, 159, 39],
        [240, 190, 250, 200],
        [100, 90, 119, 105],
    ],
    dtype=np.float32,
)
LARGE = np.array([[20, 100, 230, 180]], dtype=np.float32)


def photograph(size=SIZE):
    """Pixels that say where they are: x in the first channel, y in the second."""
    y, x = np.mgrid[: size[0], : size[1]]
    return np.stack((x, y, np.zeros_like(x)), axis=2).astype(np.uint8)


class SeesPlanted(Detector):
    """Returns the visible part of each planted object; knows its place by the first pixel."""

    def __init__(self, objects, *, has_maps=False, max_batch=1000) -> None:
        super().__init__(pixel_mean=[0.0] * 3, pixel_std=[1.0] * 3)
        self.objects = torch.from_numpy(objects)
        self.has_maps = has_maps
        self.max_batch = max_batch
        self.batches: list[int] = []

    @classmethod
    def from_config(cls, cfg):
        raise NotImplementedError

    def losses(self, samples):
        return {}

    def dense_class_probs(self, samples):
        return []

    def detect(self, samples):
        self.batches.append(len(samples))
        if len(samples) > self.max_batch:
            raise torch.OutOfMemoryError("imaginary GPU is full")
        return [self._in_one(sample) for sample in samples]

    def _in_one(self, sample):
        height, width = sample.original_size
        x, y = sample.image[0, 0, 0].item(), sample.image[1, 0, 0].item()
        boxes = self.objects - torch.tensor([x, y, x, y])
        boxes[:, 0::2].clamp_(0, width)
        boxes[:, 1::2].clamp_(0, height)
        seen = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1)
        boxes, count = boxes[seen], int(seen.sum())
        scores = torch.linspace(0.9, 0.5, len(self.objects))[seen]
        found = Detections(sample.original_size, boxes, scores, torch.zeros(count).long())
        if not self.has_maps:
            return found
        masks = torch.zeros((count, height, width), dtype=torch.bool)
        for mask, (x0, y0, x1, y1) in zip(masks, boxes.int().tolist(), strict=True):
            mask[y0:y1, x0:x1] = True
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1, keepdim=True)
        keypoints = torch.cat((middle, area), dim=1)[:, None]
        return Detections(
            sample.original_size, boxes, scores, found.classes, masks=masks, keypoints=keypoints
        )


@pytest.fixture
def make(small_cfg):
    def predictor(model, *, side=64, overlap=24, whole_image=False, **kwargs):
        small_cfg.INPUT.MIN_SIZE_TEST = 0  # tiles are not resized
        small_cfg.INPUT.TILES.SIZE, small_cfg.INPUT.TILES.OVERLAP = side, overlap
        small_cfg.INPUT.TILES.WHOLE_IMAGE = whole_image
        small_cfg.INPUT.FORMAT = "BGR"
        return Predictor(model.eval(), small_cfg, **kwargs)

    return predictor


def in_order(boxes):
    return np.array(sorted(np.asarray(boxes).tolist()))


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_every_object_is_found_once_whatever_the_batches(make, batch_size):
    predictor = make(SeesPlanted(OBJECTS), batch_size=batch_size)
    (found,) = predictor.detect([photograph()])
    np.testing.assert_array_equal(in_order(found.boxes), in_order(OBJECTS))
    assert found.image_size == SIZE
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    model = predictor.model.model
    assert max(model.batches) <= batch_size
    assert sum(model.batches) == predictor.grid.num_tiles(SIZE) == 5 * 6


def test_masks_and_keypoints_of_large_objects_are_put_together(make):
    (found,) = make(SeesPlanted(LARGE, has_maps=True), batch_size=4).detect([photograph()])
    assert found.boxes.tolist() == LARGE.tolist()
    expected = np.zeros(SIZE, dtype=bool)
    expected[100:180, 20:230] = True
    np.testing.assert_array_equal(found.masks[0].numpy(), expected)
    # Tiles that show the most of the object are surest of the keypoint, here its middle.
    x, y, score = found.keypoints[0, 0].tolist()
    assert 20 < x < 230
    assert 100 < y < 180
    assert score == 64 * 64


def test_masks_keypoints_and_nothing_found(make):
    nothing = SeesPlanted(np.zeros((0, 4), np.float32), has_maps=True)
    (found,) = make(nothing).detect([photograph()])
    assert len(found) == 0
    assert found.masks.shape == (0, *SIZE)
    assert found.keypoints.shape == (0, 1, 3)


def test_masks_too_large_for_the_memory_are_refused_in_one_sentence(make, monkeypatch):
    monkeypatch.setattr(collector, "memory_limit", lambda: 100_000)
    with pytest.raises(DoesNotFitError, match="masks of 5 objects in a photograph of 250 x 200"):
        make(SeesPlanted(OBJECTS, has_maps=True)).detect([photograph()])


def test_the_whole_picture_finds_what_is_larger_than_tiles(make):
    predictor = make(SeesPlanted(LARGE), whole_image=True)
    (found,) = predictor.detect([photograph()])
    assert found.boxes.tolist() == LARGE.tolist()
    assert sum(predictor.model.model.batches) == 31


def test_memory_that_runs_out_halves_the_batch_of_tiles(make):
    predictor = make(SeesPlanted(OBJECTS, max_batch=2), batch_size=8)
    (found,) = predictor.detect([photograph()])
    assert len(found) == len(OBJECTS)
    assert predictor.model.batch_size == 2


def test_a_tile_that_does_not_fit_into_memory(make):
    predictor = make(SeesPlanted(OBJECTS, max_batch=0))
    with pytest.raises(DoesNotFitError, match="64 x 64 pixels do not fit"):
        predictor.detect([photograph()])


@pytest.mark.parametrize("size", [(64, 64), (1, 64), (10, 20)])
def test_images_no_larger_than_a_tile_are_left_alone(painted_detector, small_cfg, size, paint):
    path = paint("small.png", size, (0, 0, size[1] // 2 + 1, size[0], (200, 0, 90)))
    plain = Predictor(painted_detector(), small_cfg, batch_size=4)
    small_cfg.INPUT.TILES.SIZE = 64
    tiled = Predictor(painted_detector(), small_cfg, batch_size=4)
    ((_, expected),) = plain.detect_files([path])
    ((_, found),) = tiled.detect_files([path])
    for name in ("boxes", "scores", "classes"):
        assert torch.equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("streams", [1, 2])
def test_files_of_all_sizes_keep_their_order(
    painted_detector, small_cfg, paint, num_workers, streams
):
    small_cfg.INPUT.TILES.SIZE, small_cfg.INPUT.TILES.OVERLAP = 64, 20
    sizes = [(64, 64), (150, 100), (30, 40), (63, 65), (64, 64), (200, 64), (64, 50)]
    paths = [
        paint(f"{i}.png", size, (i, 10, i + 9, 19, (250, 0, 0))) for i, size in enumerate(sizes)
    ]
    predictor = Predictor(painted_detector(), small_cfg, batch_size=2, streams=streams)
    found = list(predictor.detect_files(paths, num_workers=num_workers))
    assert [path for path, _ in found] == paths
    for i, (_, one) in enumerate(found):
        assert one.image_size == sizes[i]
        assert np.abs(one.boxes.numpy() - [[i, 10, i + 9, 19]]).max() <= 1


def test_a_grid_of_no_config_wraps_nothing(painted_detector, small_cfg):
    predictor = Predictor(painted_detector(), small_cfg)
    assert predictor.grid is None
    assert type(predictor.model).__name__ == "PaintedDetector"
    assert TileGrid.from_config(small_cfg) is None
