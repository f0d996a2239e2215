"""Pictures: the original stays, objects appear in their colour, odd inputs do not break it."""

import numpy as np
import pytest
import torch
from PIL import Image

from app.engine.drawing import LabelMap, Marks, class_color, contact_sheet, draw
from app.engine.drawing.canvas import Canvas
from app.engine.drawing.keypoints import PERSON_EDGES
from app.engine.drawing.tags import free_place, readable
from app.engine.structures.detections import Detections

NAMES = ["cat", "a class with a very long name indeed", "x"]


def black(height: int = 60, width: int = 80) -> Image.Image:
    return Image.new("RGB", (width, height))


def marks(boxes, **extra) -> Marks:
    boxes = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    num = len(boxes)
    return Marks(boxes, np.arange(num) % 3, np.linspace(0.9, 0.1, num), **extra)


def pixel(picture: Image.Image, x: int, y: int) -> tuple[int, ...]:
    return tuple(np.asarray(picture)[y, x].tolist())


def test_box_is_drawn_in_its_color_and_the_input_is_untouched():
    image = Image.new("RGB", (80, 60), (127, 127, 127))
    picture = draw(image, marks([[10, 20, 50, 50]]), NAMES, min_side=0)
    assert picture.size == image.size
    assert pixel(picture, 10, 35) == class_color(0)
    assert image.getextrema() == ((127, 127),) * 3


def test_small_images_are_enlarged():
    picture = draw(black(30, 60), marks([[1, 1, 9, 9]]), NAMES, min_side=300)
    assert picture.size == (600, 300)


@pytest.mark.parametrize(
    ("short", "box_side", "line", "font"),
    [
        pytest.param(500, 300, 2, 15, id="a picture of a telephone's screen"),
        pytest.param(4000, 2400, 18, 118, id="eight times as large: eight times as thick"),
        pytest.param(4000, 60, 7, 53, id="many small objects: finer"),
        pytest.param(100, 20, 2, 12, id="never finer than can be read"),
    ],
)
def test_lines_and_letters_grow_with_the_picture(short, box_side, line, font):
    boxes = np.array([[0, 0, box_side, box_side]] * 3)
    canvas = Canvas.over(black(short, short), boxes, min_side=0)
    assert (canvas.line, canvas.font) == (line, font)


@pytest.mark.parametrize(
    "boxes",
    [
        pytest.param([], id="no objects"),
        pytest.param([[-50, -50, 500, 500]], id="larger than the image"),
        pytest.param([[10, 10, 10, 10]], id="empty box"),
        pytest.param([[10, 10, 40, 40]] * 30, id="thirty in one place"),
    ],
)
@pytest.mark.parametrize("size", [(60, 80), (1, 1), (1, 900)], ids=str)
def test_odd_boxes(boxes, size):
    picture = draw(black(*size), marks(boxes), NAMES, labelled=marks(boxes))
    assert picture.mode == "RGB"


def test_objects_with_low_scores_are_left_out():
    scores = torch.tensor([0.9, 0.3])
    found = Detections((60, 80), torch.ones(2, 4), scores, torch.tensor([2, 1]))
    assert Marks.of(found, at_least=0.5).classes.tolist() == [2]
    assert len(Marks.of(found, at_least=0.95)) == 0


def test_tags_leave_most_of_a_crowded_picture_free():
    boxes = np.array([[x, y, x + 20, y + 8] for y in range(5, 390, 16) for x in range(5, 390, 28)])
    crowd = Marks(boxes, np.zeros(len(boxes), dtype=int), np.linspace(1, 0, len(boxes)))
    tagged = np.asarray(draw(black(400, 400), crowd, NAMES))
    covered = (tagged == class_color(0)).all(axis=2).mean()
    bare = np.asarray(draw(black(400, 400), Marks(boxes, crowd.classes), [""] * 3))
    assert 0.1 < covered < 0.45
    assert tagged.shape == bare.shape


def test_labels_have_no_score():
    picture = draw(black(), Marks(np.array([[10, 30, 70, 50]]), np.array([0])), NAMES, min_side=0)
    assert np.asarray(picture)[:28].any()


@pytest.mark.parametrize("min_side", [0, 240], ids=["as it is", "enlarged"])
def test_masks_are_translucent(min_side):
    image = Image.new("RGB", (80, 60), (100, 100, 100))
    masks = np.zeros((1, 60, 80), dtype=np.bool_)
    masks[0, 20:50, 20:60] = True
    picture = draw(image, marks([[10, 10, 70, 58]], masks=masks), NAMES, min_side=min_side)
    scale = picture.height // 60
    inside, outside = pixel(picture, 40 * scale, 35 * scale), pixel(picture, 64 * scale, 52 * scale)
    assert outside == (100, 100, 100)
    expected = [100 + 0.42 * (channel - 100) for channel in class_color(0)]
    assert inside == pytest.approx(expected, abs=1)


def test_keypoints_and_the_lines_between_them():
    points = np.array([[[20.0, 50.0, 1.0], [60.0, 50.0, 0.0], [20.0, 30.0, 0.9]]])
    found = marks([[10, 10, 70, 58]], keypoints=points, edges=[(0, 1), (0, 2)])
    picture = draw(black(), found, NAMES, min_side=0)
    assert pixel(picture, 20, 50) == pixel(picture, 20, 40) == class_color(0)
    assert pixel(picture, 60, 50) == pixel(picture, 40, 50) == (0, 0, 0)


def test_the_skeleton_joins_all_keypoints_of_a_person():
    reached = {0}
    for _ in range(17):
        reached |= {b for a, b in PERSON_EDGES if a in reached}
        reached |= {a for a, b in PERSON_EDGES if b in reached}
    assert reached >= set(range(5))
    assert {point for edge in PERSON_EDGES for point in edge} == set(range(17))


def test_label_map():
    labels = np.zeros((60, 80), dtype=np.int32)
    labels[:, 40:] = 2
    label_map = LabelMap(labels, {2: "sky"}, {2: (200, 0, 0)})
    picture = draw(black(), marks([]), NAMES, label_map=label_map, min_side=0)
    assert pixel(picture, 10, 30) == (0, 0, 0)
    assert pixel(picture, 70, 55) == (84, 0, 0)
    assert pixel(picture, 40, 55) != pixel(picture, 79, 59) == (84, 0, 0)  # a line between regions
    assert (np.asarray(picture) == (200, 0, 0)).all(axis=2).sum() > 100  # the tag with the name


@pytest.mark.parametrize(
    ("box", "taken", "width", "expected"),
    [
        pytest.param((30, 40, 70, 58), [], 100, (30, 26, 56, 40), id="above its box"),
        pytest.param((30, 5, 70, 50), [], 100, (30, 5, 56, 19), id="inside at the top"),
        pytest.param((30, -8, 70, 70), [], 100, (30, 0, 56, 14), id="box over the upper edge"),
        pytest.param((-9, 40, 70, 58), [], 100, (0, 26, 26, 40), id="box over the left edge"),
        pytest.param((90, 40, 99, 58), [], 100, (74, 26, 100, 40), id="box at the right edge"),
        pytest.param((3, 40, 18, 58), [], 20, None, id="wider than the image"),
        pytest.param(
            (30, 20, 70, 44), [(50, 0, 60, 21)], 100, (30, 44, 56, 58), id="below its box"
        ),
        pytest.param((30, 40, 70, 58), [(0, 0, 100, 60)], 100, None, id="no place left"),
        pytest.param((30, 40, 70, 58), [(56, 0, 99, 60)], 100, (30, 26, 56, 40), id="one beside"),
    ],
)
def test_place_of_a_tag(box, taken, width, expected):
    """Of a text 20 pixels wide and 9 high, with its margins 26 and 14, in an image 60 high."""
    assert free_place((0, 0, 20, 9), box, taken, (width, 60)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("red blood cell", "red blood cell", id="Latin"),
        pytest.param("Blüte é", "Blute e", id="accents"),
        pytest.param("two\nlines", "two lines", id="two lines"),
        pytest.param("細胞", "class 7", id="letters that the font lacks"),
        pytest.param("", "class 7", id="no name"),
    ],
)
def test_readable_names(name, expected):
    assert readable(name, 7) == expected


def test_colors_differ():
    assert len({class_color(index) for index in range(200)}) > 190


@pytest.mark.parametrize("number", [0, 1, 3, 7])
def test_contact_sheet_of_different_sizes(number):
    images = [Image.new("RGB", (50, 20 + 10 * i), (9, 9, 9)) for i in range(number)]
    sheet = contact_sheet(images, cell=(64, 64))
    assert sheet.mode == "RGB"
    columns = {0: 0, 1: 1, 3: 2, 7: 3}[number]
    assert sheet.width == (columns * 70 + 6 if number else 1)
