"""Transforms against PIL, hand-computed numbers and detectron2's published ones."""

import numpy as np
import pytest
from PIL import Image

from app.engine.data.transforms.augmentation import fixed_size, scaled_to_fit
from app.engine.data.transforms.geometric import (
    Crop,
    FastResize,
    FlipHorizontal,
    FlipVertical,
    Pad,
    Resize,
    resize,
)
from app.engine.data.transforms.photometric import ColorChange
from app.engine.data.transforms.transform import (
    Transform,
    transform_boxes,
    transform_labels,
    transform_pixels,
    transform_polygons,
)
from app.engine.structures.masks import rasterize
from app.engine.structures.size import shortest_edge_size


@pytest.mark.parametrize(
    ("size", "edge", "max_size", "expected"),
    [
        pytest.param((480, 640), 800, 1333, (800, 1067), id="usual"),
        pytest.param((640, 480), 800, 1333, (1067, 800), id="portrait"),
        pytest.param((427, 640), 800, 1333, (800, 1199), id="rounds down"),
        pytest.param((300, 900), 800, 1333, (444, 1333), id="long side capped"),
        pytest.param((200, 300), 800, 1333, (800, 1200), id="detectron2's test"),
        pytest.param((1, 20_000), 800, 1333, (1, 1333), id="never empty"),
        pytest.param((1, 1), 8, 10, (8, 8), id="one pixel"),
    ],
)
def test_shortest_edge_size(
    size: tuple[int, int], edge: int, max_size: int, expected: tuple[int, int]
) -> None:
    assert shortest_edge_size(size, edge, max_size) == expected


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "new",
    [(12, 16), (100, 130), (13, 200), (60, 80), (1, 1), (61, 80)],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
def test_bytes_are_resized_as_pillow_does(new: tuple[int, int], channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, channels), dtype=np.uint8)
    ours = resize(pixels, new)
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    theirs = np.asarray(image.resize(new[::-1], Image.Resampling.BILINEAR)).reshape(ours.shape)
    np.testing.assert_array_equal(ours, theirs)
    fast = FastResize((60, 80), new).pixels(pixels)
    assert np.abs(ours.astype(int) - fast.astype(int)).max() <= 1
    assert ours.dtype == fast.dtype == np.uint8


def test_resize_takes_views_and_floats() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(resize(pixels[:, ::-1], (2, 2)), resize(pixels[:, ::-1].copy(), (2, 2)))
    pixels.flags.writeable = False
    assert resize(pixels, (2, 2)).shape == (2, 2, 3)
    assert resize(pixels, (4, 4)) is pixels
    floats = np.zeros((4, 4, 3))
    floats[0, 0] = 1.0
    assert resize(floats, (2, 2))[0, 0] == pytest.approx([0.25] * 3)


def test_labels_resize_as_pil_nearest() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        old, new = ((int(h), int(w)) for h, w in rng.integers(1, 90, (2, 2)))
        labels = rng.integers(0, 256, old, dtype=np.uint8)
        theirs = Image.fromarray(labels).resize(new[::-1], Image.Resampling.NEAREST)
        assert np.array_equal(Resize(old, new).labels(labels), np.asarray(theirs))


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        pytest.param(FlipHorizontal(400), [200, 10, 390, 300], id="mirror (published)"),
        pytest.param(FlipVertical(400), [10, 100, 200, 390], id="upside down"),
        pytest.param(Resize((400, 400), (800, 200)), [5, 20, 100, 600], id="resize"),
        pytest.param(Crop(5, 8, 50, 50), [5, 2, 195, 292], id="crop moves, does not clip"),
        pytest.param(Pad(7, 9), [10, 10, 200, 300], id="pad"),
    ],
)
def test_boxes(transform: Transform, expected: list[float]) -> None:
    boxes = np.array([[10, 10, 200, 300]], dtype=np.float32)
    assert transform_boxes([transform], boxes)[0] == pytest.approx(expected)
    assert transform_boxes([transform], np.zeros((0, 4))).shape == (0, 4)


def test_published_polygon_and_bitmap_of_a_mirror_image() -> None:
    flip = FlipHorizontal(400)
    (moved,) = transform_polygons([flip], [np.array([10.0, 10, 100, 100, 100, 10])])
    assert moved.tolist() == [390, 10, 300, 100, 300, 10]
    left = np.zeros((300, 400), dtype=np.bool_)
    left[:, :200] = True
    assert np.array_equal(transform_labels([flip], left), ~left)


@pytest.mark.parametrize(
    "transform",
    [FlipHorizontal(20), FlipVertical(12), Crop(3, 2, 9, 7), Pad(3, 4), Resize((12, 20), (24, 40))],
    ids=lambda t: type(t).__name__,
)
def test_pixels_labels_points_and_size_agree(transform: Transform) -> None:
    labels = np.zeros((12, 20), dtype=np.uint8)
    labels[4:7, 5:9] = 1
    pixels = np.repeat(labels[..., None] * 200, 3, axis=2)
    moved_labels, moved_pixels = transform.labels(labels), transform.pixels(pixels)
    assert moved_pixels.shape[:2] == moved_labels.shape == transform.size((12, 20))
    y, x = np.nonzero(moved_labels == 1)
    box = transform_boxes([transform], np.array([[5.0, 4, 9, 7]]))[0]
    assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
    y, x = np.nonzero(moved_pixels[..., 0] >= 150)
    assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]


def test_padding_values() -> None:
    pad = Pad(right=1, bottom=2)
    assert pad.pixels(np.zeros((1, 1, 3), np.uint8))[-1, -1].tolist() == [128] * 3
    assert pad.labels(np.zeros((1, 1), np.uint8))[-1, -1] == 255
    assert not pad.labels(np.ones((1, 1), np.bool_))[-1, -1]
    pixels = np.zeros((2, 2, 3), np.uint8)
    assert Pad(0, 0).pixels(pixels) is pixels


def test_large_scale_jitter_reproduces_the_published_boxes() -> None:
    # The draws of detectron2's own test: numpy seed 125, the image, then one uniform each for the
    # scale, the position of the crop and the flip.
    draws = np.random.RandomState(125)
    draws.rand(900, 800)
    size, target = (900, 800), (1100, 1000)
    new = scaled_to_fit(size, target, draws.uniform(0.2, 2.0))
    transforms: list[Transform] = [Resize(size, new), *fixed_size(new, target, draws.uniform(0, 1))]
    assert draws.uniform(0, 1) < 0.5
    transforms.append(FlipHorizontal(1000))

    pixels = transform_pixels(transforms, np.zeros((900, 800, 3), dtype=np.uint8))
    assert pixels.shape == (1100, 1000, 3)
    boxes = np.array([[91, 46, 144, 111], [523, 251, 614, 295]], dtype=np.float64)
    assert transform_boxes(transforms, boxes) == pytest.approx(
        np.array(
            [
                [895.42, 33.42666667, 933.91125, 80.66],
                [554.0825, 182.39333333, 620.17125, 214.36666667],
            ]
        )
    )
    polygon = np.array([91, 46, 144, 46, 144, 111, 91, 111], dtype=np.float64)
    (moved,) = transform_polygons(transforms, [polygon])
    # detectron2's test gives integers, which are cut to whole pixels; ours stay exact.
    published = {(934, 33), (934, 80), (896, 80), (896, 33)}
    for x, y in moved.reshape(-1, 2):
        assert any(abs(x - px) <= 1 and abs(y - py) <= 1 for px, py in published)


def test_crop_cuts_polygons() -> None:
    square = np.array([0, 0, 10, 0, 10, 10, 0, 10], dtype=np.float64)
    (cut,) = transform_polygons([Crop(5, 5, 10, 10)], [square])
    assert {tuple(p) for p in cut.reshape(-1, 2).tolist()} == {(0, 0), (5, 0), (5, 5), (0, 5)}
    assert transform_polygons([Crop(20, 20, 5, 5)], [square]) == []
    assert transform_polygons([Crop(2, 2, 5, 5)], [square])[0].reshape(-1, 2).max() == 5


def test_cut_polygon_covers_what_the_cut_bitmap_covers() -> None:
    rng = np.random.default_rng(5)
    for _ in range(25):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        radii = rng.uniform(5, 40, 9)  # a star: concave in general
        ring = np.stack((50 + radii * np.cos(angles), 50 + radii * np.sin(angles)), axis=1)
        x0, y0, width, height = (int(v) for v in rng.integers(5, 60, 4))
        crop = Crop(x0, y0, width, height)
        whole = rasterize([ring.reshape(-1)], 100, 100)
        height, width = crop.size((100, 100))
        cut = rasterize(transform_polygons([crop], [ring.reshape(-1)]), height, width)
        # Edges along the border may round to either side of it.
        assert (crop.labels(whole) ^ cut).sum() <= 2 * (height + width) * 0.2 + 4


def test_labels_follow_several_transforms() -> None:
    labels = np.zeros((4, 6), dtype=np.bool_)
    labels[0, 0] = True
    transforms: list[Transform] = [FlipHorizontal(6), Crop(2, 0, 4, 3), Pad(1, 1)]
    moved = transform_labels(transforms, labels)
    assert moved.shape == (4, 5)
    assert np.argwhere(moved).tolist() == [[0, 3]]


def test_color_change() -> None:
    pixels = np.array([[[100, 50, 0], [200, 250, 150]]], dtype=np.uint8)
    assert np.array_equal(ColorChange(1, 1, 1).pixels(pixels), pixels)
    assert ColorChange(2, 1, 1).pixels(pixels)[0].tolist() == [[200, 100, 0], [255, 255, 255]]
    assert ColorChange(1, 0, 1).pixels(pixels)[0].tolist() == [[125] * 3, [125] * 3]
    assert ColorChange(1, 1, 0).pixels(pixels)[0, 0].tolist() == [59] * 3
    bgr = ColorChange(1, 1, 0, (0.114, 0.587, 0.299)).pixels(pixels[..., ::-1])
    assert bgr[0, 0].tolist() == [59] * 3


@pytest.mark.parametrize(
    ("size", "target", "factor", "expected"),
    [
        pytest.param((100, 200), (100, 100), 1.0, (50, 100), id="the width decides"),
        pytest.param((200, 100), (100, 100), 1.0, (100, 50), id="the height decides"),
        pytest.param((100, 100), (300, 200), 1.0, (200, 200), id="the target is tall"),
        pytest.param((100, 100), (200, 300), 1.0, (200, 200), id="the target is wide"),
        pytest.param((100, 200), (100, 100), 2.0, (100, 200), id="twice as large as fits"),
        pytest.param((1, 1000), (10, 10), 1.0, (1, 10), id="no side vanishes"),
    ],
)
def test_large_scale_jitter_fits_both_sides(size, target, factor, expected) -> None:
    assert scaled_to_fit(size, target, factor) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        pytest.param((60, 200), [Crop(30, 0, 80, 100), Pad(0, 40)], id="wide: crop and pad below"),
        pytest.param((200, 60), [Crop(0, 25, 80, 100), Pad(20, 0)], id="tall: crop and pad right"),
        pytest.param((60, 60), [Crop(0, 0, 80, 100), Pad(20, 40)], id="small: pad"),
        pytest.param((200, 200), [Crop(30, 25, 80, 100), Pad(0, 0)], id="large: crop"),
    ],
)
def test_large_scale_jitter_crops_and_pads_each_side(size, expected) -> None:
    assert fixed_size(size, (100, 80), 0.25) == expected
