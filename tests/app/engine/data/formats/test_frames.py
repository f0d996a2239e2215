"""The frame of boxes: by the annotated size, the image's header and the setting."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from app.engine.data.formats import Conventions, Reading
from app.engine.data.formats._frames import (
    EXCHANGED,
    MOVED,
    OTHER_SIZE,
    SCALED,
    TURNED,
    UNSAID,
    frame_map,
    scaling,
    turning,
)
from app.engine.data.images.headers import Header, image_header
from app.engine.data.images.reading import read_image
from app.engine.data.problems import Effect

PLAIN = Header((120, 160))
TURNED_6 = Header((160, 120), 6)
MIRRORED_2 = Header((120, 160), 2)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_turned_as_the_picture_is(orientation: int, tmp_path: Path) -> None:
    pixels = np.zeros((60, 80, 3), np.uint8)
    x0, y0, x1, y1 = 5, 10, 30, 22
    pixels[y0:y1, x0:x1] = 255
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path, exif=exif)
    header = image_header(path)
    assert header.stored_size == (60, 80)
    rows, columns = np.nonzero(read_image(path)[:, :, 0])
    shown = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert turning(header).box((x0, y0, x1, y1)) == shown
    inverted = turning(header).box((x1, y0, x0, y1))
    assert (inverted[2] < inverted[0]) != (inverted[3] < inverted[1])


@pytest.mark.parametrize(
    ("annotated", "header", "frame", "box"),
    [
        pytest.param(None, PLAIN, "auto", (29, 21, 73, 60), id="no size in the file"),
        pytest.param((0, 0), PLAIN, "auto", (29, 21, 73, 60), id="size of zeros"),
        pytest.param((120, 160), PLAIN, "auto", (29, 21, 73, 60), id="same size"),
        pytest.param((160, 120), TURNED_6, "auto", (29, 21, 73, 60), id="shown size"),
        pytest.param((120, 160), TURNED_6, "shown", (29, 21, 73, 60), id="set to shown"),
        pytest.param((120, 160), TURNED_6, "stored", (60, 29, 99, 73), id="set to stored"),
        pytest.param(None, TURNED_6, "stored", (60, 29, 99, 73), id="stored, no size"),
        pytest.param((160, 120), TURNED_6, "stored", (29, 21, 73, 60), id="the file says shown"),
        pytest.param((120, 160), MIRRORED_2, "stored", (87, 21, 131, 60), id="mirrored, stored"),
        pytest.param((160, 120), PLAIN, "shown", (29, 21, 73, 60), id="sides exchanged, shown"),
        pytest.param((60, 80), PLAIN, "scaled", (58, 42, 146, 120), id="set to scaled"),
        pytest.param((120, 160), TURNED_6, "scaled", (21.75, 28, 54.75, 80), id="scaled by axis"),
    ],
)
def test_boxes_are_moved(annotated, header, frame, box) -> None:
    reading = Reading(["cat"], Conventions(frame=frame))
    moved = frame_map(annotated, header, reading, "a.png")
    assert moved is not None
    assert moved.box((29, 21, 73, 60)) == pytest.approx(box)
    is_told = annotated not in (None, (0, 0), header.size) or not moved.is_same
    assert reading.problems.with_effect(Effect.CHANGED) == ({MOVED[frame]: 1} if is_told else {})
    assert reading.problems.total == is_told


@pytest.mark.parametrize(
    ("annotated", "header", "frame", "kind", "effect", "told"),
    [
        pytest.param(
            (120, 160), TURNED_6, "auto", TURNED, Effect.STOPS, "160x120, image 120x160", id="turn"
        ),
        pytest.param(
            (60, 80), PLAIN, "auto", SCALED, Effect.BROKEN, "2 times as large", id="half the size"
        ),
        pytest.param((107, 142), PLAIN, "auto", SCALED, Effect.BROKEN, "1.127 times", id="rounded"),
        pytest.param(
            (160, 120), PLAIN, "auto", EXCHANGED, Effect.BROKEN, "120x160", id="sides exchanged"
        ),
        pytest.param((99, 160), PLAIN, "auto", OTHER_SIZE, Effect.BROKEN, "160x99", id="other"),
        pytest.param((60, 80), TURNED_6, "shown", OTHER_SIZE, Effect.BROKEN, "80x60", id="shown"),
        pytest.param((61, 80), TURNED_6, "stored", OTHER_SIZE, Effect.BROKEN, "80x61", id="stored"),
    ],
)
def test_sizes_that_cannot_be_right_are_counted(
    annotated, header, frame, kind, effect, told
) -> None:
    reading = Reading(["cat"], Conventions(frame=frame))
    assert frame_map(annotated, header, reading, "a.png") is None
    assert reading.problems.with_effect(effect) == {kind: 1}
    assert told in reading.problems.examples(kind)[0]


@pytest.mark.parametrize("orientation", range(2, 9))
def test_masks_are_turned_as_the_picture_is(orientation: int) -> None:
    stored = (60, 80)
    header = Header(stored if orientation < 5 else (80, 60), orientation)
    bits = np.zeros(stored, np.uint8)
    bits[10:22, 5:30] = 1
    code = coco_mask.encode(np.asfortranarray(bits))
    turned = coco_mask.decode(turning(header).mask(code, header.size))
    x0, y0, x1, y1 = map(int, turning(header).box((5, 10, 30, 22)))
    assert turned.shape == header.size
    assert turned[y0:y1, x0:x1].all()
    assert turned.sum() == bits.sum()


@pytest.mark.parametrize("size", [(48, 64), (12, 16), (24, 64), (7, 50)], ids=str)
def test_masks_are_scaled_as_boxes_are(size: tuple[int, int]) -> None:
    bits = np.zeros((24, 32), np.uint8)
    bits[4:16, 8:24] = 1
    code = coco_mask.encode(np.asfortranarray(bits))
    frame = scaling((24, 32), size)
    scaled = coco_mask.decode(frame.mask(code, size))
    box = frame.box((8, 4, 24, 16))
    ys, xs = np.nonzero(scaled)
    found = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert found == pytest.approx(box, abs=0.5)
    assert frame.scale == pytest.approx(size[0] * size[1] / (24 * 32))


@pytest.mark.parametrize(
    ("annotated", "header"),
    [
        pytest.param(None, TURNED_6, id="no size"),
        pytest.param((0, 0), TURNED_6, id="a size of zeros"),
        pytest.param((120, 160), MIRRORED_2, id="mirrored"),
        pytest.param((80, 80), Header((80, 80), 6), id="square"),
    ],
)
def test_a_turn_that_no_size_speaks_of_is_told(annotated, header) -> None:
    reading = Reading([])
    assert frame_map(annotated, header, reading, "a.png").is_same
    assert reading.problems.with_effect(Effect.TOLD) == {UNSAID: 1}
    stored = frame_map(annotated, header, Reading([], Conventions(frame="stored")), "a.png")
    assert not stored.is_same


def test_the_mark_of_a_writer_speaks_of_stored_sizes_only() -> None:
    """Another size is another image's: it is never scaled without being asked."""
    reading = Reading([])
    assert frame_map((99, 160), TURNED_6, reading, "a.png", mark="scaled") is None
    assert frame_map(None, TURNED_6, reading, "a.png", mark="stored").is_same
    assert reading.problems.counts == {OTHER_SIZE: 1, UNSAID: 1}


def test_the_mark_of_a_writer_counts_unless_a_setting_does() -> None:
    marked = frame_map((120, 160), TURNED_6, Reading([]), "a.png", mark="stored")
    assert marked is not None
    assert marked.box((29, 21, 73, 60)) == (60, 29, 99, 73)
    reading = Reading([], Conventions(frame="shown"))
    asked = frame_map((120, 160), TURNED_6, reading, "a.png", mark="stored")
    assert asked is not None
    assert asked.is_same
