"""Smells: each is found in a set with its fault and in no sound one."""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.engine.config.smells import SmellName
from app.engine.data.datasets.coco import load_coco
from app.engine.data.formats import FORMATS, Reading
from app.engine.data.smells.overlap import sniff_overlap
from app.engine.data.smells.scent import Scent
from app.engine.data.smells.table import SMELLS, sniff
from app.engine.errors import DatasetError
from app.engine.structures.record import ImageRecord

REPOSITORY = Path(__file__).resolve().parents[5]
NAMES = ["cat", "dog", "cow"]
WIDTH, HEIGHT = 160, 120
NUM_IMAGES = 16

Box = tuple[int, int, int, int]
Objects = list[tuple[int, Box]]
"""Class and x0 y0 x1 y1, exclusive, of one image's objects."""


def _objects(number: int) -> Objects:
    """Four objects, one in each quarter of the image."""
    rng = np.random.default_rng(number)
    found: Objects = []
    for left, top in ((0, 0), (80, 0), (0, 60), (80, 60)):
        x0, y0 = left + int(rng.integers(0, 30)), top + int(rng.integers(0, 20))
        width, height = rng.integers(12, 50), rng.integers(10, 40)
        found.append((int(rng.integers(3)), (x0, y0, x0 + int(width), y0 + int(height))))
    return found


def _image(path: Path, number: int, *, blank: bool = False, bits: int = 8) -> Path:
    """Noise in colour; of more than 8 bits in grey, in 16, with one value that is a fault."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) // (64 if blank else 1)
    if bits > 8:
        pixels = rng.integers(0, 2**bits, (HEIGHT, WIDTH), dtype=np.uint16)
        pixels[0, 0] = 65535
    Image.fromarray(pixels).save(path, compress_level=0)
    return path


def _ark(objects: Objects, convert: Callable[[Box], Any] = lambda box: box, shift: int = 0) -> str:
    """`convert` gives the four numbers that are written for an exclusive box."""
    return "".join(
        f"{class_id + shift},{','.join(map(str, convert(box)))}\n" for class_id, box in objects
    )


def _inclusive(box: Box) -> Box:
    return (box[0], box[1], box[2] - 1, box[3] - 1)


def _read_ark(
    folder: Path,
    text: Callable[[int], str],
    *,
    blank: bool = False,
    bits: int = 8,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Scent:
    pairs = []
    for number in range(NUM_IMAGES):
        label = folder / f"{number}.txt"
        label.write_text(text(number))
        image = _image(folder / f"{number}.png", number, blank=blank, bits=bits)
        if size != (WIDTH, HEIGHT):
            Image.new("L", size).save(image)
        pairs.append((image, label))
    reading = Reading(NAMES)
    return Scent(FORMATS["ark"](pairs, reading), reading, is_xywh=False)


def _read_coco(
    folder: Path,
    bbox: Callable[[Box], Any],
    crowd: Callable[[int], int] = lambda _: 0,
    category: Callable[[int, int], int] = lambda _, class_id: class_id,
    first: int = 0,
) -> Scent:
    """`first` is the id of the first category, `category` gives that of an object."""
    images, annotations, pairs = [], [], []
    path = folder / "a.json"
    for number in range(NUM_IMAGES):
        pairs.append((_image(folder / f"{number}.png", number), path))
        size = {"width": WIDTH, "height": HEIGHT}
        images.append({"id": number, "file_name": f"{number}.png", **size})
        for class_id, box in _objects(number):
            entry = {"id": len(annotations), "image_id": number}
            entry["category_id"] = category(len(annotations), class_id)
            entry |= {"bbox": bbox(box), "iscrowd": crowd(len(annotations)), "area": 1}
            annotations.append(entry)
    categories = [{"id": i, "name": name} for i, name in enumerate(NAMES, first)]
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    reading = Reading(NAMES)
    return Scent(FORMATS["coco"](pairs, reading), reading, is_xywh=True)


def _read_voc(folder: Path, filename: Callable[[int], str]) -> Scent:
    pairs = []
    for number in range(NUM_IMAGES):
        label = folder / f"{number}.xml"
        parts = [f"<annotation><filename>{filename(number)}</filename>"]
        for class_id, box in _objects(number):
            corners = zip(("xmin", "ymin", "xmax", "ymax"), _inclusive(box), strict=True)
            inner = "".join(f"<{tag}>{value}</{tag}>" for tag, value in corners)
            parts.append(f"<object><name>{NAMES[class_id]}</name><bndbox>{inner}</bndbox></object>")
        label.write_text("".join([*parts, "</annotation>"]))
        pairs.append((_image(folder / f"{number}.png", number), label))
    reading = Reading(NAMES)
    return Scent(FORMATS["voc"](pairs, reading), reading, is_xywh=False)


def _xywh(box: Box) -> Box:
    return (box[0], box[1], box[2] - box[0], box[3] - box[1])


def _ark_of(convert: Callable[[Box], Any], shift: int = 0) -> Callable[[Path], Scent]:
    return lambda folder: _read_ark(folder, lambda n: _ark(_objects(n), convert, shift))


def _as_centre(box: Box) -> list[float]:
    """x y width height, x and y of the centre."""
    x0, y0, x1, y1 = box
    return [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]


def _read_yolo(
    folder: Path, convert: Callable[[Box], Sequence[float]], *, class_last: bool = False
) -> Scent:
    """`convert` gives four numbers in pixels."""
    pairs = []
    for number in range(NUM_IMAGES):
        label = folder / f"{number}.txt"
        sides = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
        rows = [(c, *(np.array(convert(box)) / sides)) for c, box in _objects(number)]
        rows = [(*numbers, c) if class_last else (c, *numbers) for c, *numbers in rows]
        label.write_text("".join(f"{' '.join(map(str, row))}\n" for row in rows))
        pairs.append((_image(folder / f"{number}.png", number), label))
    reading = Reading(NAMES)
    return Scent(FORMATS["yolo"](pairs, reading), reading, is_xywh=False, is_centred=True)


def _dots(folder: Path, size: int) -> Scent:
    """Bright dots of `size` pixels in black images; nothing at all for 0."""
    pairs = []
    for number in range(6):
        image, label = folder / f"{number}.png", folder / f"{number}.txt"
        pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
        pixels[50 : 50 + size, 60 : 60 + size] = 90
        Image.fromarray(pixels).save(image)
        label.write_text(f"0,60,50,{59 + max(size, 1)},{49 + max(size, 1)}\n")
        pairs.append((image, label))
    reading = Reading(NAMES)
    return Scent(FORMATS["ark"](pairs, reading), reading, is_xywh=False)


def _shrunk(box: Box) -> Box:
    return (box[0] // 3, box[1] // 3, box[2] // 3, box[3] // 3)


def _grown(box: Box) -> Box:
    x0, y0, x1, y1 = box
    return (x0 + 60, y0 + 10, x1 + 100, y1 + 60)


FAULTY = {
    "xyxy-boxes": lambda folder: _read_coco(folder, list),
    "xywh-boxes": _ark_of(_xywh),
    "xxyy-boxes": _ark_of(lambda b: (b[0], b[2] - 1, b[1], b[3] - 1)),
    "normalised-boxes": _ark_of(
        lambda b: (b[0] / WIDTH, b[1] / HEIGHT, b[2] / WIDTH, b[3] / HEIGHT)
    ),
    "swapped-axes": _ark_of(lambda b: (b[1], b[0], b[3] - 1, b[2] - 1)),
    "centred-boxes": lambda folder: _read_coco(folder, _as_centre),
    "upside-down-boxes": _ark_of(lambda b: (b[0], HEIGHT - b[1] - 1, b[2] - 1, HEIGHT - b[3])),
    "boxes-outside": _ark_of(_grown),
    "boxes-in-a-corner": _ark_of(_shrunk),
    "class-in-another-column": lambda folder: _read_ark(
        folder, lambda n: "".join(f"{x0},{y0},{x1},{y1},1\n" for _, (x0, y0, x1, y1) in _objects(n))
    ),
    "class-numbers-from-1": _ark_of(_inclusive, shift=1),
    "class-numbers-beyond": lambda folder: _read_ark(
        folder, lambda n: _ark(_objects(n), _inclusive, shift=n % 2)
    ),
    "category-ids-shifted": lambda folder: _read_coco(
        folder, _xywh, category=lambda n, class_id: 0 if n == 3 else max(class_id, 1), first=1
    ),
    "objects-dropped": lambda folder: _read_ark(
        folder, lambda n: _ark(_objects(n), _inclusive) + "1,2,3\n" * 4
    ),
    "crowds": lambda folder: _read_coco(folder, _xywh, lambda number: number % 2),
    "doubled-objects": lambda folder: _read_ark(
        folder, lambda n: 2 * _ark(_objects(n), _inclusive)
    ),
    "annotations-of-other-images": lambda folder: _read_voc(
        folder, lambda number: f"{(number + 1) % NUM_IMAGES}.png"
    ),
    "blank-images": lambda folder: _read_ark(
        folder, lambda n: _ark(_objects(n), _inclusive), blank=True
    ),
}

SOUND = {
    "ark": _ark_of(_inclusive),
    "coco": lambda folder: _read_coco(folder, lambda b: list(_xywh(b))),
    "coco, some crowds": lambda folder: _read_coco(folder, _xywh, lambda n: int(n % 10 == 0)),
    "voc": lambda folder: _read_voc(folder, lambda number: f"C:\\photos\\{number}.jpg"),
    "voc of renamed images": lambda folder: _read_voc(folder, lambda number: f"IMG_{number}.JPG"),
    "one image": lambda folder: Scent(
        (whole := _ark_of(_inclusive)(folder)).records[:1], whole.reading, is_xywh=False
    ),
    "corners from the lower right": _ark_of(lambda b: (b[2] - 1, b[3] - 1, b[0], b[1])),
    "yolo": lambda folder: _read_yolo(folder, _as_centre),
    "stars of a pixel": lambda folder: _dots(folder, 1),
    "stars of three pixels": lambda folder: _dots(folder, 3),
    "an unlisted category far away": lambda folder: _read_coco(
        folder, _xywh, category=lambda n, class_id: 17 if n == 3 else class_id
    ),
    "12 bits in 16": lambda folder: _read_ark(
        folder, lambda n: _ark(_objects(n), _inclusive), bits=12
    ),
    "no object": lambda folder: _read_ark(folder, lambda n: ""),
}


def _found(scent: Scent) -> set[str]:
    return {name for name, smell in SMELLS.items() if smell.sniff(scent) is not None}


def test_every_smell_has_a_faulty_set_and_a_row_in_the_documents() -> None:
    assert list(FAULTY) == list(SMELLS)
    assert [*SMELLS, SmellName.OVERLAP] == list(SmellName)
    text = (REPOSITORY / "docs/data.md").read_text(encoding="utf-8")
    rows = {
        name.strip("` "): action.strip()
        for line in text.splitlines()
        if line.startswith("| `") and len(cells := line.strip("|").split("|")) == 4
        for name, action in [(cells[0], cells[3])]
    }
    expected = {name: "stops" if smell.stops else "warns" for name, smell in SMELLS.items()}
    assert {name: action for name, action in rows.items() if name in SMELLS} == expected
    assert SmellName.OVERLAP in rows


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_set_smells(name: str, tmp_path: Path) -> None:
    scent = FAULTY[name](tmp_path)
    sentence = SMELLS[name].sniff(scent)
    assert sentence is not None
    assert any(char.isdigit() for char in sentence)
    beside = {"class-numbers-from-1": {"objects-dropped"}, "xyxy-boxes": {"boxes-outside"}}
    beside |= {
        "xywh-boxes": {"objects-dropped", "boxes-in-a-corner"},
        "swapped-axes": {"boxes-outside"},
    }
    beside |= {"normalised-boxes": {"objects-dropped", "boxes-in-a-corner", "doubled-objects"}}
    beside |= {"class-in-another-column": {"class-numbers-beyond", "objects-dropped"}}
    beside |= {"boxes-outside": {"objects-dropped"}, "xxyy-boxes": {"boxes-outside"}}
    assert _found(scent) - beside.get(name, set()) == {name}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_set_does_not_smell(name: str, tmp_path: Path) -> None:
    assert _found(SOUND[name](tmp_path)) == set()


def test_a_smell_stops_unless_it_is_accepted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scent = FAULTY["xywh-boxes"](tmp_path)
    with pytest.raises(DatasetError, match=r"val set: smell xywh.* accepted_smells: xywh"):
        sniff("val", scent, (), key="accepted_smells")
    sniff("val", scent, {"xywh-boxes", "objects-dropped"}, key="accepted_smells")
    assert "(accepted)" in caplog.text


def test_a_smell_that_warns_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sniff("training", FAULTY["crowds"](tmp_path), (), key="accepted_smells")
    assert "training set: smell crowds: 32 of 64" in caplog.text


@pytest.mark.parametrize(
    ("name", "read"),
    [
        pytest.param(
            "xywh-boxes",
            _ark_of(lambda b: ((b[0] + b[2]) // 2, (b[1] + b[3]) // 2, b[2] - b[0], b[3] - b[1])),
            id="centre and size for corners",
        ),
        pytest.param(
            "centred-boxes",
            lambda folder: _read_yolo(folder, _xywh),
            id="corner for the centre",
        ),
        pytest.param(
            "xywh-boxes",
            _ark_of(lambda b: (b[1], b[0], b[3] - b[1], b[2] - b[0])),
            id="y x height width for corners",
        ),
        pytest.param(
            "normalised-boxes",
            lambda folder: _read_ark(
                folder, lambda n: _ark(_objects(n), lambda b: [v / 1.6 for v in b]), size=(900, 700)
            ),
            id="percent",
        ),
        pytest.param(
            "class-in-another-column",
            lambda folder: _read_yolo(folder, _as_centre, class_last=True),
            id="YOLO's class at the end",
        ),
        pytest.param("blank-images", lambda folder: _dots(folder, 0), id="black images"),
    ],
)
def test_siblings(name: str, read: Callable[[Path], Scent], tmp_path: Path) -> None:
    assert name in _found(read(tmp_path))


@pytest.mark.parametrize(
    ("read", "words"),
    [
        pytest.param(
            lambda folder: _read_coco(folder, lambda b: (b[1], b[0], b[3], b[2])),
            "taken as ymin xmin ymax xmax",
            id="COCO",
        ),
        pytest.param(
            lambda folder: _read_yolo(folder, list), "taken as xmin ymin xmax ymax", id="YOLO"
        ),
        pytest.param(
            _ark_of(lambda b: [3 * v for v in b]), "in images 2.8 times as large", id="other size"
        ),
    ],
)
def test_boxes_outside_name_the_likely_cause(
    read: Callable[[Path], Scent], words: str, tmp_path: Path
) -> None:
    sentence = SMELLS[SmellName.OUTSIDE].sniff(read(tmp_path))
    assert sentence is not None
    assert words in sentence


def test_one_stroke_beyond_the_image_is_no_sign(tmp_path: Path) -> None:
    """Of few boxes, one is more than 10 %; the others fit in any order."""
    boxes = [(20, 20, 40, 40)] * 5 + [(50, 70, 60, 124)]
    pairs = []
    for number, box in enumerate(boxes):
        label = tmp_path / f"{number}.txt"
        label.write_text(_ark([(0, box)], _inclusive))
        pairs.append((_image(tmp_path / f"{number}.png", number), label))
    reading = Reading(NAMES)
    assert not _found(Scent(FORMATS["ark"](pairs, reading), reading, is_xywh=False))


def test_boxes_of_zeros_are_dropped_objects_and_not_normalised(tmp_path: Path) -> None:
    assert _found(_read_coco(tmp_path, lambda box: [0, 0, 0, 0])) == {"objects-dropped"}


def test_app_clis_data_is_sniffed_too(tmp_path: Path) -> None:
    scent = FAULTY["xyxy-boxes"](tmp_path)
    assert scent.records
    with pytest.raises(DatasetError, match=r"smell xyxy-boxes.*DATASETS.ACCEPTED_SMELLS: xyxy"):
        load_coco(tmp_path / "a.json", tmp_path)
    accepted = {"xyxy-boxes", "boxes-outside"}
    assert len(load_coco(tmp_path / "a.json", tmp_path, accepted_smells=accepted).records)


def _record(path: Path) -> ImageRecord:
    return ImageRecord(path, 1, 1, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), 0)


def test_validation_images_among_training_images(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    training = [_record(_image(tmp_path / f"{number}.png", number)) for number in range(3)]
    other = _record(_image(tmp_path / "other.png", 7))
    copy = tmp_path / "copy.png"
    copy.write_bytes(training[1].path.read_bytes())
    sniff_overlap(training, [other, _record(tmp_path / "missing.png")], ())
    sniff_overlap(training, [], ())
    assert not caplog.records
    sniff_overlap(training, [training[0], other, _record(copy)], ())
    assert "2 of 3 validation images are training images" in caplog.text
    caplog.clear()
    sniff_overlap(training, training, ("validation-in-training",))
    assert not caplog.records
