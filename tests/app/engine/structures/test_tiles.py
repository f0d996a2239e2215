"""Tiles cover a photograph, are equally large, end flush with its edges and keep the overlap."""

import itertools

import pytest

from app.engine.config import load_config
from app.engine.structures.tiles import Tile, TileGrid

LIGHT = "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml"


@pytest.mark.parametrize("overlap", [0, 1, 9, 24])
def test_every_length_is_covered(overlap):
    side = 32
    grid = TileGrid(side, overlap)
    for length in range(side - 1, 3 * side + 2):
        tiles = grid.tiles((length, 20))
        starts = [tile.y0 for tile in tiles]
        assert {tile.size for tile in tiles} == {(min(side, length), 20)}
        assert starts[0] == 0
        assert tiles[-1].y1 == length
        for before, after in itertools.pairwise(tiles):
            assert after.y0 <= before.y1 - overlap
        assert len(tiles) == grid.num_tiles((length, 20))
        assert len(tiles) == 1 or len(tiles) * (side - overlap) + overlap < length + side


def test_rows_come_before_columns():
    tiles = TileGrid(10, 2).tiles((12, 17))
    assert tiles == [Tile(0, 0, 10, 10), Tile(7, 0, 17, 10), Tile(0, 2, 10, 12), Tile(7, 2, 17, 12)]


@pytest.mark.parametrize(
    ("size", "is_cut"),
    [((32, 32), False), ((1, 1), False), ((33, 5), True), ((5, 33), True), ((33, 33), True)],
)
def test_images_with_a_longer_side_are_cut(size, is_cut):
    assert TileGrid(32, 8).cuts(size) is is_cut


def test_the_number_of_detections_grows_with_the_area():
    grid = TileGrid(400, 100)
    assert grid.limit(100, (400, 300)) == 100
    assert grid.limit(100, (2472, 2299)) == 100 * 7 * 6


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], None),
        (["INPUT.TILES.OVERLAP", "50"], None),
        (["INPUT.TILES.SIZE", "400"], TileGrid(400, 100)),
        (["INPUT.TILES.SIZE", "400", "INPUT.TILES.OVERLAP", "60"], TileGrid(400, 60)),
        (["INPUT.TILES.SIZE", "400", "INPUT.TILES.WHOLE_IMAGE", "True"], TileGrid(400, 100, True)),
    ],
)
def test_zeros_of_the_config(overrides, expected):
    assert TileGrid.from_config(load_config(LIGHT, overrides)) == expected
