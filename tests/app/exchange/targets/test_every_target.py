"""Detections are written in every layout and read back by the readers of `detex prepare`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from app.engine.data.problems import Problems
from app.engine.structures.record import ImageRecord
from app.engine.structures.run_lengths import Rle, encode_bitmaps
from app.exchange.detected import DetectedImage, DetectedObject, DetectedSet
from app.exchange.sources import SOURCES, Place, Request, recognised
from app.exchange.targets import TARGETS
from app.exchange.targets.voc import COLON

CLASSES = ['a "quoted" & <marked>', "no", "hämoglobin 日本", "7"]
HOLDS_MASKS = {"coco", "yolo", "labelme", "cvat"}
SCORED = {
    "coco": '"score": 0.75',
    "voc": "<confidence>0.750000</confidence>",
    "labelme": "score 0.750",
}
"""How a score of 0.75 is written; the others have no place for it."""


def _ring() -> Rle:
    bits = np.zeros((1, 24, 40), dtype=bool)
    bits[0, 4:20, 6:18] = True
    bits[0, 8:12, 9:12] = False
    bits[0, 21:23, 30:34] = True  # a second part
    return encode_bitmaps(bits)[0]


RING = _ring()


def detected(images: Path, *, masks: bool) -> DetectedSet:
    """Two images of one name in two folders, one with objects at its border, one without any."""
    found = [
        DetectedObject(CLASSES[2], (6.0, 4.0, 34.0, 23.0), 0.75, RING if masks else None),
        DetectedObject(CLASSES[0], (0.0, 0.0, 40.0, 24.0), 1.0),
        DetectedObject(CLASSES[1], (1.25, 2.5, 3.75, 4.0), 0.1),
    ]
    sizes = {"cam 1/x.png": (24, 40), "cam 2/x.png": (17, 31)}
    for seed, (name, (height, width)) in enumerate(sizes.items()):
        (images / name).parent.mkdir(parents=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / name)
    return DetectedSet(
        [
            DetectedImage("cam 1/x.png", (24, 40), found, images / "cam 1/x.png"),
            DetectedImage("cam 2/x.png", (17, 31), [], images / "cam 2/x.png"),
        ],
        CLASSES,
    )


def images_of(layout: str, folder: Path) -> Path:
    """Where the layout has its images."""
    return folder / {"voc": "JPEGImages", "labelme": ""}.get(layout, "images")


def read(layout: str, folder: Path, scratch: Path) -> tuple[dict[str, ImageRecord], list[str]]:
    """The records by the folder of their image, and the classes, read without a remark."""
    assert recognised(Place.of(folder), option="--from")[0] == layout
    content = SOURCES[layout].read(Request(Place.of(folder), scratch))
    assert dict(content.reading.problems.counts) == {}
    return {r.path.parent.name: r for r in content.records}, list(content.reading.class_names)


@pytest.mark.parametrize("masks", [False, True], ids=["boxes", "masks"])
@pytest.mark.parametrize("layout", TARGETS)
def test_what_is_written_is_read_back(tmp_path: Path, layout: str, masks: bool) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    found = detected(images_of(layout, folder), masks=masks)
    TARGETS[layout].write(found, folder, Problems())

    records, classes = read(layout, folder, tmp_path)
    assert set(records) == {"cam 1", "cam 2"}
    assert len(records["cam 2"]) == 0
    record = records["cam 1"]
    names = [classes[number] for number in record.classes]
    assert names == [each.class_name for each in found.images[0].objects]
    expected = [each.box for each in found.images[0].objects]
    assert np.allclose(record.boxes, expected, atol=1e-3)
    if masks and layout in HOLDS_MASKS:
        assert record.segmentations is not None
        assert np.array_equal(_pixels(record.segmentations[0]), coco_mask.decode(RING))


def _pixels(mask: object) -> np.ndarray:
    if isinstance(mask, list):
        # COCO's rasteriser rounds to half pixels, so corners are moved off whole numbers first.
        code = coco_mask.frPyObjects([points.tolist() for points in mask], 24, 40)
        return np.asarray(coco_mask.decode(coco_mask.merge(code)))
    assert isinstance(mask, dict)
    return np.asarray(coco_mask.decode(mask))


@pytest.mark.parametrize("layout", TARGETS)
def test_scores_are_written_where_the_layout_has_a_place(tmp_path: Path, layout: str) -> None:
    found = detected(tmp_path / "images", masks=False)
    out = tmp_path / "out"
    out.mkdir()
    TARGETS[layout].write(found, out, Problems())
    files = (file for file in out.rglob("*") if file.is_file() and file.suffix != ".png")
    text = "".join(file.read_text() for file in files)
    assert SCORED.get(layout, "") in text
    assert ("0.75" in text) == (layout in SCORED)


@pytest.mark.parametrize("layout", TARGETS)
@pytest.mark.parametrize("classes", [[], ["cat"]], ids=["no classes", "one class"])
def test_no_images_give_an_empty_set(tmp_path: Path, layout: str, classes: list[str]) -> None:
    TARGETS[layout].write(DetectedSet([], classes), tmp_path, Problems())
    assert layout == "labelme" or any(tmp_path.iterdir())


def test_voc_says_that_a_labelmap_cannot_hold_a_colon(tmp_path: Path) -> None:
    problems = Problems()
    TARGETS["voc"].write(DetectedSet([], ["a:b", "c"]), tmp_path, problems)
    assert problems.counts == {COLON: 1}
    assert not (tmp_path / "labelmap.txt").exists()
