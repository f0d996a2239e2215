"""Records become samples: order of augmentations, clipping, filtering, masks, keypoints."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from app.engine.config import CfgNode, get_config
from app.engine.data.images.reading import read_image
from app.engine.data.loading.ground_truth import GroundTruthMapper
from app.engine.data.loading.mapper import TestMapper, TrainMapper
from app.engine.data.transforms.augmentation import (
    RandomCrop,
    RandomFlip,
    ShortestEdge,
    draw,
    train_augmentations,
)
from app.engine.data.transforms.geometric import Crop, FlipHorizontal
from app.engine.data.transforms.keypoints import COCO_PERSON
from app.engine.data.transforms.mirror import mirror_of
from app.engine.data.transforms.transform import transform_keypoints
from app.engine.errors import ConfigError, DatasetError, ImageError
from app.engine.structures.masks import BitMasks, PolygonMasks


@pytest.fixture
def cfg() -> CfgNode:
    cfg = get_config()
    cfg.INPUT.MIN_SIZE_TRAIN = (48,)
    cfg.INPUT.MAX_SIZE_TRAIN = 100
    cfg.INPUT.MIN_SIZE_TEST = 48
    cfg.INPUT.RANDOM_FLIP = "none"
    return cfg


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_train_sample(cfg, make_record) -> None:
    record = make_record([[2, 3, 12, 15]], [4], image_id=7)
    sample = TrainMapper.from_config(cfg)(record, _rng())
    assert sample.image.shape == (3, 48, 64)
    assert sample.image.dtype == torch.uint8
    assert sample.original_size == (24, 32)
    assert sample.image_id == 7
    assert sample.ground_truth.boxes.tolist() == [[4, 6, 24, 30]]
    assert sample.ground_truth.boxes.dtype == torch.float32
    assert sample.ground_truth.classes.tolist() == [4]
    assert sample.ground_truth.masks is None
    assert sample.proposals is None
    assert sample.semantic is None


@pytest.mark.parametrize("format", ["BGR", "RGB", "L", "YUV-BT.601"])
def test_channel_order_is_that_of_input_format(cfg, make_record, format: str) -> None:
    record = make_record()
    cfg.INPUT.MIN_SIZE_TRAIN = (24,)
    cfg.INPUT.FORMAT = format
    sample = TrainMapper.from_config(cfg)(record, _rng())
    expected = read_image(record.path, format).astype(np.float32)
    assert np.array_equal(sample.image.permute(1, 2, 0).float().numpy(), expected)


def test_flip_mirrors_pixels_and_boxes(cfg, make_record) -> None:
    record = make_record()
    cfg.INPUT.RANDOM_FLIP = "horizontal"
    mapper = TrainMapper.from_config(cfg)
    plain = TestMapper.from_config(cfg)(record).image
    seen = {}
    for seed in range(8):
        sample = mapper(record, _rng(seed))
        x0 = int(sample.ground_truth.boxes[0, 0])
        seen[x0] = sample.image
    assert sorted(seen) == [4, 40]
    assert torch.equal(seen[4], plain)
    assert torch.equal(seen[40], plain.flip(-1))


def test_same_generator_same_sample(cfg, make_record) -> None:
    cfg.INPUT.RANDOM_FLIP = "horizontal"
    cfg.INPUT.COLOR_JITTER = 0.4
    cfg.INPUT.CROP.ENABLED = True
    record = make_record()
    mapper = TrainMapper.from_config(cfg)
    first, second = mapper(record, _rng(3)), mapper(record, _rng(3))
    assert torch.equal(first.image, second.image)
    assert torch.equal(first.ground_truth.boxes, second.ground_truth.boxes)
    assert not all(torch.equal(first.image, mapper(record, _rng(s)).image) for s in range(4, 8))


def test_crowds_and_cut_away_objects_are_left_out(make_record) -> None:
    record = make_record([[0, 0, 5, 5], [20, 0, 30, 10], [0, 0, 8, 8]], [0, 1, 2])
    record.crowd = np.array([False, False, True])
    mapper = GroundTruthMapper()
    ground_truth = mapper(record, [Crop(10, 0, 15, 24)], (24, 15))
    assert ground_truth.classes.tolist() == [1]
    assert ground_truth.boxes.tolist() == [[10, 0, 15, 10]]
    assert len(mapper(make_record([]), [], (24, 32))) == 0


def test_polygons_and_run_lengths(make_record) -> None:
    bits = np.zeros((24, 32), dtype=np.uint8)
    bits[2:6, 2:6] = 1
    code = coco_mask.encode(np.asfortranarray(bits))
    polygon = [np.array([10, 10, 20, 10, 20, 20, 10, 20], dtype=np.float64)]
    boxes = [[2, 2, 6, 6], [10, 10, 20, 20], [0, 0, 9, 9]]
    record = make_record(boxes, [0, 1, 2], segmentations=[code, polygon, None])
    flip = [FlipHorizontal(32)]

    both = GroundTruthMapper(mask_format="polygon")(record, flip, (24, 32))
    assert both.classes.tolist() == [0, 1]  # the third has no mask
    assert isinstance(both.masks, BitMasks)
    assert both.masks.tight_boxes().tolist() == both.boxes.tolist()

    record = make_record([boxes[1]], segmentations=[polygon])
    polygons = GroundTruthMapper(mask_format="polygon")(record, flip, (24, 32))
    assert isinstance(polygons.masks, PolygonMasks)
    assert polygons.masks.tight_boxes().tolist() == [[12, 10, 22, 20]]
    bitmaps = GroundTruthMapper(mask_format="bitmask")(record, flip, (24, 32))
    assert isinstance(bitmaps.masks, BitMasks)
    assert bitmaps.masks.bits.shape == (1, 24, 32)

    empty = GroundTruthMapper(mask_format="bitmask")(make_record([]), flip, (24, 32))
    assert empty.masks.bits.shape == (0, 24, 32)


def test_boxes_are_recomputed_from_cropped_masks(cfg, make_record) -> None:
    triangle = [np.array([0, 0, 20, 0, 0, 20], dtype=np.float64)]
    record = make_record([[0, 0, 20, 20]], segmentations=[triangle])
    crop = [Crop(10, 0, 20, 20)]
    kept = GroundTruthMapper(mask_format="polygon")(record, crop, (20, 20))
    assert kept.boxes.tolist() == [[0, 0, 10, 20]]
    tight = GroundTruthMapper(mask_format="polygon", recompute_boxes=True)(record, crop, (20, 20))
    assert tight.boxes.tolist() == [[0, 0, 10, 10]]
    gone = GroundTruthMapper(mask_format="polygon")(record, [Crop(15, 15, 9, 9)], (9, 9))
    assert len(gone) == 0

    cfg.INPUT.CROP.ENABLED = True
    assert not GroundTruthMapper.from_config(cfg).recompute_boxes
    cfg.MODEL.MASK_ON = True
    assert GroundTruthMapper.from_config(cfg).recompute_boxes


def test_keypoints_swap_sides_when_mirrored() -> None:
    keypoints = np.random.default_rng(0).uniform(15, 65, (1, 17, 3)).astype(np.float32)
    moved = transform_keypoints(
        [FlipHorizontal(400)], keypoints, (400, 400), mirror_of(COCO_PERSON).indices
    )
    assert moved[0, 0, 0] == pytest.approx(400 - keypoints[0, 0, 0])
    pairs = moved[0, 1:, 0].reshape(-1, 2)[:, ::-1]
    assert pairs.reshape(-1) == pytest.approx(400 - keypoints[0, 1:, 0])
    # Twice mirrored is not mirrored; what leaves the image is no longer labelled.
    twice = [FlipHorizontal(400), FlipHorizontal(400)]
    assert transform_keypoints(twice, keypoints, (400, 400), range(17)) == pytest.approx(keypoints)
    outside = transform_keypoints([Crop(300, 300, 10, 10)], keypoints, (10, 10), range(17))
    assert not outside.any()


def test_keypoint_settings(cfg, make_record) -> None:
    cfg.MODEL.KEYPOINT_ON = True
    cfg.INPUT.RANDOM_FLIP = "horizontal"
    assert GroundTruthMapper.from_config(cfg).keypoint_flip == mirror_of(COCO_PERSON).indices
    record = make_record(keypoints=np.ones((1, 4, 3), dtype=np.float32))
    with pytest.raises(DatasetError, match="4 keypoints but the model learns 17"):
        TrainMapper.from_config(cfg)(record, _rng())
    cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS = 4
    with pytest.raises(ConfigError, match="mirror images is not known"):
        TrainMapper.from_config(cfg)
    cfg.MODEL.KEYPOINT_NAMES = ["left_ear", "right_ear", "left_eye", "nose"]
    with pytest.raises(ConfigError, match=r"'left_eye' .* have no mirror image"):
        TrainMapper.from_config(cfg)
    cfg.INPUT.KEYPOINT_FLIP_PAIRS = [[0, 1]]
    sample = TrainMapper.from_config(cfg)(record, _rng())
    assert sample.ground_truth.keypoints.shape == (1, 4, 3)
    cfg.INPUT.RANDOM_FLIP = "none"
    cfg.INPUT.KEYPOINT_FLIP_PAIRS = []
    assert TrainMapper.from_config(cfg)(make_record(), _rng()).ground_truth.keypoints.sum() == 0


def test_labels_of_own_keypoints_need_no_mirror_images_where_nothing_is_mirrored(
    cfg, make_record
) -> None:
    """Losses on validation data: the pictures are as they are."""
    cfg.MODEL.KEYPOINT_ON = True
    cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS = 2
    record = make_record(keypoints=np.full((1, 2, 3), 2, dtype=np.float32))
    sample = TestMapper.from_config(cfg, with_ground_truth=True)(record)
    assert sample.ground_truth.keypoints.shape == (1, 2, 3)


def test_proposals_are_moved_clipped_and_cut_to_the_best(cfg, make_record) -> None:
    cfg.MODEL.LOAD_PROPOSALS = True
    cfg.DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TRAIN = 2
    boxes = np.array([[0, 0, 40, 10], [50, 50, 60, 60], [1, 1, 3, 3], [2, 2, 4, 4]], np.float32)
    record = make_record(extra={"proposals": (boxes, np.array([4.0, 3, 2, 1]))})
    sample = TrainMapper.from_config(cfg)(record, _rng())
    assert sample.proposals.boxes.tolist() == [[0, 0, 64, 20], [2, 2, 6, 6]]
    assert sample.proposals.objectness_logits.tolist() == [4, 2]
    assert sample.proposals.image_size == sample.size
    with pytest.raises(DatasetError, match="no precomputed proposals"):
        TrainMapper.from_config(cfg)(make_record(), _rng())


def test_semantic_labels_follow_the_image(cfg, make_record, save_image) -> None:
    labels = np.zeros((24, 32), dtype=np.uint8)
    labels[:, :16] = 3
    record = make_record(extra={"sem_seg_path": save_image("labels.png", labels)})
    cfg.INPUT.LSJ.ENABLED = True
    cfg.INPUT.LSJ.SIZE = [40, 80]
    cfg.INPUT.LSJ.MAX_SCALE = 0.5
    sample = TrainMapper.from_config(cfg)(record, _rng())
    assert sample.image.shape == (3, 40, 80)
    assert sample.semantic.shape == (40, 80)
    assert set(sample.semantic.unique().tolist()) == {0, 3, 255}
    wrong = make_record(extra={"sem_seg_path": save_image("wrong.png", labels[:5])})
    with pytest.raises(ImageError, match="label map is 32x5"):
        TrainMapper.from_config(cfg)(wrong, _rng())


def test_one_size_for_all_images_stretches_boxes_masks_and_keypoints(cfg, make_record) -> None:
    cfg.INPUT.FIXED_SIZE = [72, 64]  # of 24 x 32: three times as high, twice as wide
    cfg.MODEL.MASK_ON = cfg.MODEL.KEYPOINT_ON = True
    triangle = np.array([2.0, 3, 12, 3, 12, 15])
    record = make_record([[2, 3, 12, 15]], segmentations=[[triangle]])
    record = replace(record, keypoints=np.array([[[2.0, 3, 2]] * 17]))
    sample = TrainMapper.from_config(cfg)(record, _rng())
    assert sample.size == (72, 64)
    assert sample.ground_truth.boxes.tolist() == [[4, 9, 24, 45]]
    assert sample.ground_truth.masks.tight_boxes().tolist() == [[4, 9, 24, 45]]
    assert sample.ground_truth.keypoints[0, 0].tolist() == [4, 9, 2]
    seen = TestMapper.from_config(cfg)
    assert seen(record).size == seen.from_file(record.path).size == (72, 64)
    assert torch.equal(seen(record).image, seen.from_file(record.path).image)


def test_wrong_annotated_size_is_an_image_error(cfg, make_record) -> None:
    record = replace(make_record(), height=32, width=24)
    with pytest.raises(ImageError, match="32x24 but its annotation says 24x32"):
        TrainMapper.from_config(cfg)(record, _rng())


def test_test_sample(cfg, make_record) -> None:
    record = make_record()
    sample = TestMapper.from_config(cfg)(record)
    assert sample.size == (48, 64)
    assert sample.ground_truth is None
    labelled = TestMapper.from_config(cfg, with_ground_truth=True)(record)
    assert labelled.ground_truth.boxes.tolist() == [[4, 6, 24, 30]]
    pixels = read_image(record.path, "BGR")
    assert torch.equal(TestMapper.from_config(cfg).from_pixels(pixels).image, sample.image)
    cfg.INPUT.MIN_SIZE_TEST = 0
    assert TestMapper.from_config(cfg).from_pixels(pixels).size == (24, 32)


@pytest.mark.parametrize(
    ("kind", "amount", "low", "high"),
    [
        pytest.param("relative", (0.5, 0.25), (50, 50), (50, 50), id="relative"),
        pytest.param("relative_range", (0.5, 0.25), (50, 50), (100, 200), id="relative_range"),
        pytest.param("absolute", (30, 400), (30, 200), (30, 200), id="absolute"),
        pytest.param("absolute_range", (30, 150), (30, 30), (100, 150), id="absolute_range"),
    ],
)
def test_crop_sizes(kind: str, amount, low, high) -> None:
    crop = RandomCrop(kind, amount)
    sizes = [crop.crop_size((100, 200), _rng(seed)) for seed in range(200)]
    assert all(low[i] <= size[i] <= high[i] for size in sizes for i in (0, 1))
    assert max(s[0] for s in sizes) > low[0] or low[0] == high[0]
    for seed in range(50):
        (window,) = crop.draw((100, 200), _rng(seed))
        assert 0 <= window.x0 <= 200 - window.width
        assert 0 <= window.y0 <= 100 - window.height
    assert crop.crop_size((1, 1), _rng()) == (1, 1)


def test_range_sampling_includes_both_ends() -> None:
    augmentation = ShortestEdge((5, 7), 1000, "range")
    edges = {draw([augmentation], (10, 10), _rng(s))[0].new[0] for s in range(60)}
    assert edges == {5, 6, 7}


def test_order_of_augmentations(cfg) -> None:
    cfg.INPUT.COLOR_JITTER = 0.1
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.RANDOM_FLIP = "vertical"
    names = [type(a).__name__ for a in train_augmentations(cfg)]
    assert names == ["ColorJitter", "RandomCrop", "ShortestEdge", "RandomFlip"]
    assert train_augmentations(cfg)[-1] == RandomFlip(vertical=True)
