"""Masks as polygons and as small bitmaps mean the same pixels."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from app.engine.structures.run_lengths import Rle, encode_bitmaps
from app.exchange.targets._masks import cut_out, outline


def rle(*rows: str) -> Rle:
    """A mask drawn with # and dots."""
    return encode_bitmaps(np.array([[[cell == "#" for cell in row] for row in rows]]))[0]


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(("#",), id="one pixel is the whole image"),
        pytest.param((".....", ".###.", "....."), id="a box"),
        pytest.param(("#####", "#...#", "#.#.#", "#...#", "#####"), id="a part in a hole"),
        pytest.param(("##...", "##...", "...##"), id="two parts"),
        pytest.param(("#..", ".#.", "..#"), id="pixels that touch at corners"),
        pytest.param(("###", "#.#", "##."), id="a hole that touches the outside"),
    ],
)
def test_the_outline_encloses_the_pixels_and_nothing_else(rows: tuple[str, ...]) -> None:
    code = rle(*rows)
    height, width = code["size"]
    points = outline(code)
    x, y = points.T
    area = np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2
    assert area == coco_mask.area(code)
    # Enlarged, so that COCO's own rasteriser, which rounds to half pixels, decides as one expects.
    (large,) = coco_mask.frPyObjects([(points * 10).ravel().tolist()], height * 10, width * 10)
    assert np.array_equal(coco_mask.decode(large)[5::10, 5::10], coco_mask.decode(code))


def test_straight_lines_have_no_points_between_their_ends() -> None:
    points = outline(rle("....", ".###", ".###"))
    assert sorted(map(tuple, points.tolist())) == [(1, 1), (1, 3), (4, 1), (4, 3)]


def test_a_mask_is_cut_out_with_its_place() -> None:
    bits, left, top = cut_out(rle("....", "..#.", ".##."))
    assert bits.tolist() == [[False, True], [True, True]]
    assert (left, top) == (1, 1)
