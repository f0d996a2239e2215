"""Near-duplicates are found among copies that are made here, and nothing else is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.engine.data import near_duplicates
from app.engine.data.near_duplicates import near_duplicate_groups, near_duplicate_pairs

Copy = Callable[[Image.Image, Path], None]


def scene(seed: int, size_wh: tuple[int, int] = (320, 240)) -> Image.Image:
    """A colourful picture of soft spots; no two seeds are alike."""
    spots = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(spots).resize(size_wh, Image.Resampling.BICUBIC)


def save(seed: int, path: Path) -> Path:
    scene(seed).save(path)
    return path


def crop(image: Image.Image, path: Path) -> None:
    image.crop((6, 5, 320, 240)).save(path)


def turned(image: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(path, "JPEG", exif=exif)


def sixteen_bits(image: Image.Image, path: Path) -> None:
    grey = np.asarray(image.convert("L")).astype(np.uint16) * 16  # 12 of 16 bits
    Image.fromarray(grey).save(path, "PNG")


@pytest.mark.parametrize(
    "copy",
    [
        pytest.param(lambda image, path: image.save(path, "PNG"), id="the same pixels"),
        pytest.param(lambda image, path: image.save(path, "WEBP"), id="another format"),
        pytest.param(lambda image, path: image.save(path, "JPEG", quality=50), id="quality 50"),
        pytest.param(lambda image, path: image.reduce(2).save(path, "PNG"), id="half the size"),
        pytest.param(crop, id="2 % cropped"),
        pytest.param(turned, id="stored turned, with EXIF"),
        pytest.param(lambda image, path: image.quantize(64).save(path, "GIF"), id="a palette"),
        pytest.param(sixteen_bits, id="16 bits"),
        pytest.param(
            lambda image, path: image.save(path, "JPEG", progressive=True), id="progressive JPEG"
        ),
        pytest.param(lambda image, path: image.convert("CMYK").save(path, "JPEG"), id="CMYK"),
    ],
)
def test_a_copy_is_found(tmp_path: Path, copy: Copy) -> None:
    # The suffix says nothing; files are recognised by their content.
    copy(scene(1), tmp_path / "copy.png")
    paths = [save(0, tmp_path / "0.jpg"), tmp_path / "copy.png", save(1, tmp_path / "1.jpg")]
    assert near_duplicate_groups(paths) == ([[1, 2]], {})


def test_groups_are_connected_and_in_the_order_of_their_first_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicates, "_ROWS", 2)
    monkeypatch.setattr(near_duplicates, "_COLUMNS", 3)
    seeds = [4, 2, 9, 2, 4, 7, 4, 2]
    paths = [save(seed, tmp_path / f"{index}.png") for index, seed in enumerate(seeds)]
    assert near_duplicate_groups(paths).groups == [[0, 4, 6], [1, 3, 7]]


def test_a_chain_of_pairs_is_one_group() -> None:
    labels = np.arange(7)
    near_duplicates._join(labels, np.array([5, 3, 4, 1]), np.array([4, 4, 2, 6]))
    assert labels.tolist() == [0, 1, 2, 2, 2, 2, 1]


def test_each_validation_image_has_the_training_image_most_like_it(tmp_path: Path) -> None:
    training = [save(seed, tmp_path / f"train{seed}.png") for seed in (0, 1, 2)]
    crop(scene(2), tmp_path / "like2.png")
    training.append(tmp_path / "like2.png")
    validation = [save(seed, tmp_path / f"val{seed}.jpg") for seed in (8, 2, 1)]
    assert near_duplicate_pairs(training, validation) == ([(2, 1), (1, 2)], {}, {})


def test_images_that_cannot_be_read_are_returned_apart(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    whole = save(0, tmp_path / "a.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    good = [tmp_path / "a.jpg", save(0, tmp_path / "b.png")]
    bad = [tmp_path / "text.jpg", tmp_path / "cut.jpg", tmp_path / "missing.jpg"]

    groups, unreadable = near_duplicate_groups([bad[0], good[0], bad[1], good[1], bad[2]])
    assert groups == [[1, 3]]
    assert list(unreadable) == [0, 2, 4]
    assert "text.jpg" in unreadable[0]
    assert "missing.jpg" in unreadable[4]

    pairs = near_duplicate_pairs([bad[0], good[0]], [good[1], bad[1]])
    assert pairs.pairs == [(1, 0)]
    assert list(pairs.unreadable_training) == [0]
    assert list(pairs.unreadable_validation) == [1]


def test_a_jpeg_without_its_end_marker_is_read(tmp_path: Path) -> None:
    path = save(0, tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(path.read_bytes().removesuffix(b"\xff\xd9"))
    assert near_duplicate_groups([path, tmp_path / "b.jpg"]) == ([[0, 1]], {})


def test_blank_images_are_near_duplicates_of_none(tmp_path: Path) -> None:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        Image.new("RGB", (50, 40), "white").save(path)
    assert near_duplicate_groups(paths) == ([], {})


@pytest.mark.parametrize("count", [0, 1])
def test_few_images_have_no_near_duplicates(tmp_path: Path, count: int) -> None:
    paths = [save(0, tmp_path / "a.png")][:count]
    assert near_duplicate_groups(paths) == ([], {})
    assert near_duplicate_pairs(paths, []) == ([], {}, {})
    assert near_duplicate_pairs([], paths) == ([], {}, {})


def test_progress_ends_at_one(tmp_path: Path) -> None:
    told: list[float] = []
    near_duplicate_groups([save(seed, tmp_path / f"{seed}.png") for seed in (0, 1)], told.append)
    assert told == [0.5, 1.0]


def test_many_copies_of_one_image_are_one_group(tmp_path: Path) -> None:
    one = near_duplicates.embed([save(0, tmp_path / "a.png")])
    many = near_duplicates.Embeddings(
        np.repeat(one.vectors, 5000, axis=0), np.repeat(one.hashes, 5000, axis=0), {}
    )
    assert near_duplicates.groups_of(many) == [list(range(5000))]
