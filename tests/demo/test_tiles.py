"""Photographs are cut into tiles that cover them, with exactly the boxes that lie in each."""

from pathlib import Path

import pytest
from PIL import Image

from demo.tiles import TILE, cut


def _photograph(folder: Path, size: tuple[int, int], boxes: list[tuple[int, ...]]) -> Path:
    path = folder / "photo.png"
    Image.new("RGB", size).save(path)
    corners = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        "<object><name>tree</name><bndbox>"
        + "".join(f"<{key}>{value}</{key}>" for key, value in zip(corners, box, strict=True))
        + "</bndbox></object>"
        for box in boxes
    )
    path.with_suffix(".xml").write_text(f"<annotation>{objects}</annotation>")
    return path


def _origin(name: str) -> tuple[int, int]:
    _, x, y = name.rsplit("_", 2)
    return int(x), int(y)


@pytest.mark.parametrize(
    ("size", "stride", "origins"),
    [
        pytest.param((400, 400), 400, [(0, 0)], id="one tile exactly"),
        pytest.param((300, 200), 400, [(0, 0)], id="smaller than a tile"),
        pytest.param((800, 400), 400, [(0, 0), (400, 0)], id="two side by side"),
        pytest.param((700, 400), 200, [(0, 0), (150, 0), (300, 0)], id="flush with the edge"),
    ],
)
def test_tiles_cover_the_photograph(
    tmp_path: Path, size: tuple[int, int], stride: int, origins: list[tuple[int, int]]
) -> None:
    tiles = [*cut(_photograph(tmp_path, size, []), stride=stride)]
    assert [_origin(tile.name) for tile in tiles] == origins
    assert {tile.image.size for tile in tiles} == {(TILE, TILE)}


def test_halves_of_a_photograph_share_no_pixel(tmp_path: Path) -> None:
    photograph = _photograph(tmp_path, (1249, 500), [])
    left = [_origin(tile.name)[0] for tile in cut(photograph, stride=400, columns=(0, 600))]
    right = [_origin(tile.name)[0] for tile in cut(photograph, stride=400, columns=(649, 1249))]
    assert max(left) + TILE <= 600 < 649 <= min(right)
    assert max(right) + TILE == 1249


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param((0, 0, 9, 9), [(0, 0, 9, 9)], id="inside"),
        pytest.param((395, 0, 404, 9), [(395, 0, 399, 9)], id="half inside"),
        pytest.param((396, 0, 405, 9), [], id="less than half inside"),
        pytest.param((500, 500, 510, 510), [], id="elsewhere"),
        pytest.param((399, 399, 399, 399), [(399, 399, 399, 399)], id="one pixel"),
    ],
)
def test_a_box_belongs_to_a_tile_when_half_of_it_does(
    tmp_path: Path, box: tuple[int, ...], expected: list[tuple[int, ...]]
) -> None:
    first = next(iter(cut(_photograph(tmp_path, (800, 800), [box]), stride=400)))
    assert first.boxes == expected


def test_a_photograph_without_annotations_gives_tiles_without_boxes(tmp_path: Path) -> None:
    photograph = _photograph(tmp_path, (400, 400), [])
    photograph.with_suffix(".xml").unlink()
    assert [tile.boxes for tile in cut(photograph, stride=400)] == [[]]
