"""The entry of a COCO file for an image, with file names as all kinds of programs write them."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.engine.data.formats._coco_file import CocoImage
from app.engine.data.formats._coco_names import (
    OTHER_FOLDER,
    TWO_ENTRIES,
    TWO_IMAGES,
    match_images,
)
from app.engine.data.problems import Effect, Problems

COMPOSED = unicodedata.normalize("NFC", "é.png")
DECOMPOSED = unicodedata.normalize("NFD", "é.png")


def _match(
    images: Sequence[str], names: Sequence[str], problems: Problems | None = None
) -> list[str | None]:
    """The name that the file has for each image, "?" where two fit, None for none."""
    entries = [CocoImage(i, name, None, i, {}) for i, name in enumerate(names)]
    paths = [Path(image) for image in images]
    found = match_images(paths, entries, problems or Problems())
    return [
        None if path not in found else entry.name if (entry := found[path]) else "?"
        for path in paths
    ]


@pytest.mark.parametrize("name", ["x.png", "in/x.png", "./in/x.png", "/in//x.png", "/in/x.png"])
def test_names_that_agree_need_no_word(name: str) -> None:
    problems = Problems()
    assert _match(["/in/x.png"], [name], problems) == [name]
    assert problems.total == 0


@pytest.mark.parametrize(
    ("image", "name", "word"),
    [
        pytest.param("x.png", "other/x.png", "folder", id="another folder"),
        pytest.param("x.png", "/home/me/x.png", "folder", id="a path of another machine"),
        pytest.param("x.png", "images\\x.png", "spelling", id="backslashes"),
        pytest.param("x.png", "C:\\Users\\me\\x.png", "spelling", id="a drive"),
        pytest.param("x.png", "..\\..\\media\\upload\\4\\x.png", "spelling", id="steps up"),
        pytest.param("x.png", "\\\\server\\share\\x.png", "spelling", id="a share"),
        pytest.param("x.png", " x.png ", "spelling", id="blanks at the ends"),
        pytest.param("x.png", "x.png\r\n", "spelling", id="a line end"),
        pytest.param(COMPOSED, DECOMPOSED, "spelling", id="letters in pieces"),
        pytest.param(DECOMPOSED, COMPOSED, "spelling", id="letters in one"),
        pytest.param("a b.png", "a%20b.png", "address", id="escaped"),
        pytest.param("a b.png", "a%2520b.png", "address", id="escaped twice"),
        pytest.param("a%20b.png", "a b.png", "address", id="escaped on the disk"),
        pytest.param("ü.png", "%C3%BC.png", "address", id="an escaped letter"),
        pytest.param("a b.png", "dir%5Ca%20b.png", "address", id="an escaped backslash"),
        pytest.param("x.png", "file:///home/me/x.png", "folder", id="file://"),
        pytest.param("a b.png", "file:///C:/a%20b.png", "address", id="file:// with a drive"),
        pytest.param("x.png", "https://host/p/x.png?token=a/b.c#top", "address", id="https://"),
        pytest.param("x.png", "s3://bucket/p/x.png", "folder", id="s3://"),
        pytest.param("x.png", "/data/upload/1/x.png", "folder", id="an upload"),
        pytest.param("x.png", "/data/local-files/?d=dir/x.png", "folder", id="local files"),
        pytest.param("a b.png", "/data/local-files/?d=dir%2Fa%20b.png", "address", id="escaped d"),
        pytest.param("x.png", "/storage/?filepath=x.png&n=1", "address", id="another parameter"),
        pytest.param("X.PNG", "x.png", "case", id="capitals on the disk"),
        pytest.param("x.png", "Images\\X.Png", "case", id="capitals in the file"),
        pytest.param("x.jpg", "x.png", "suffix", id="another format"),
        pytest.param("x.jpeg", "x.JPG", "suffix", id="another spelling of the format"),
        pytest.param("x.png", "dir/x", "suffix", id="listed without a suffix"),
        pytest.param("x.png", "/data/upload/1/01ab23cd-x.png", "hash", id="a hash before it"),
        pytest.param("01ab23cd-x.png", "x.png", "hash", id="a hash on the disk"),
        pytest.param("01ab23cd-x.png", "89abcdef-01ab23cd-x.png", "hash", id="uploaded again"),
        pytest.param("my x (1).png", "01ab23cd-my_x_1.png", "hash", id="as an upload keeps it"),
        pytest.param("a & b.png", "a &amp; b.png", "address", id="as in HTML"),
    ],
)
def test_names_are_read_as_programs_write_them(image: str, name: str, word: str) -> None:
    """And told with both names."""
    problems = Problems()
    assert _match([f"/in/{image}"], [name], problems) == [name]
    (kind,) = problems.counts
    assert word in kind
    assert image in problems.examples(kind)[0]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        pytest.param("b.png", "a.png", id="another name"),
        pytest.param("x.png", "xx.png", id="the end of a name"),
        pytest.param("x.png", "0123456g-x.png", id="a hash with another letter"),
        pytest.param("x.png", "0123-x.png", id="a short hash"),
        pytest.param("x.png", "01ab23cd_x.png", id="a hash with another mark"),
        pytest.param("x.txt", "x.png", id="no image"),
        pytest.param("x.v1.png", "x.v2.png", id="dots in the name"),
        pytest.param("01ab23cd-.png", ".png", id="nothing but a hash"),
        pytest.param("x.png", "%FF%FE.png", id="escapes that are no text"),
        pytest.param("x.png", "", id="no name"),
        pytest.param("x.png", "..", id="steps alone"),
        pytest.param("x.png", "/", id="a slash"),
    ],
)
def test_names_of_other_images(image: str, name: str) -> None:
    problems = Problems()
    assert _match([f"/in/{image}"], [name], problems) == [None]
    assert problems.total == 0


@pytest.mark.parametrize(
    ("images", "names", "found"),
    [
        pytest.param(
            ["/in/cam1/x.png", "/in/cam2/x.png"],
            ["cam2/x.png", "cam1/x.png"],
            ["cam1/x.png", "cam2/x.png"],
            id="folders tell",
        ),
        pytest.param(
            ["/in/a/cam/x.png", "/in/b/cam/x.png"],
            ["b\\cam\\x.png", "a\\cam\\x.png"],
            ["a\\cam\\x.png", "b\\cam\\x.png"],
            id="folders tell on Windows",
        ),
        pytest.param(
            ["/in/cam1/x.png"], ["cam1/x.png", "cam2/x.png"], ["cam1/x.png"], id="more entries"
        ),
        pytest.param(
            ["/in/cam1/x.png", "/in/cam2/x.png"],
            ["cam1/x.png"],
            ["cam1/x.png", None],
            id="more images",
        ),
        pytest.param(
            ["/in/x.png", "/in/cam2/x.png"],
            ["cam2/x.png", "x.png"],
            ["x.png", "cam2/x.png"],
            id="one without a folder",
        ),
        pytest.param(
            ["/in/x.png"], ["cam2/x.png", "x.png"], ["x.png"], id="a whole name goes first"
        ),
        pytest.param(["/in/x.png"], ["X.PNG", "x.png"], ["x.png"], id="the exact case goes first"),
        pytest.param(["/in/X.png", "/in/x.png"], ["x.png"], [None, "x.png"], id="no other case"),
        pytest.param(
            ["/in/a%20b.png", "/in/a b.png"],
            ["a b.png", "a%20b.png"],
            ["a%20b.png", "a b.png"],
            id="the exact spelling goes first",
        ),
        pytest.param(
            ["/in/a.bmp", "/in/a.png"], ["a.png"], [None, "a.png"], id="an unlisted other format"
        ),
        pytest.param(["/in/a.bmp"], ["a.png", "a.jpg"], [None], id="two other formats fit nothing"),
        pytest.param(
            ["/in/ab/1.jpg", "/in/cd/2.bmp"],
            ["2.png", "1.jpg"],
            ["1.jpg", "2.png"],
            id="detected formats",
        ),
        pytest.param(
            ["/in/x.png", "/in/01ab23cd-x.png"],
            ["01ab23cd-x.png", "x.png"],
            ["x.png", "01ab23cd-x.png"],
            id="hashes go last",
        ),
    ],
)
def test_the_best_fit_is_taken(images, names, found) -> None:
    problems = Problems()
    assert _match(images, names, problems) == found
    assert problems.with_effect(Effect.STOPS) == {}


@pytest.mark.parametrize(
    ("images", "names", "kind", "told"),
    [
        pytest.param(
            ["/in/cam1/x.png", "/in/cam2/x.png"],
            ["x.png"],
            TWO_IMAGES,
            "x.png (id 0): /in/cam1/x.png and /in/cam2/x.png",
            id="one entry, two images",
        ),
        pytest.param(
            ["/in/x.png"],
            ["cam1/x.png", "cam2/x.png"],
            TWO_ENTRIES,
            "/in/x.png: cam1/x.png (id 0) and cam2/x.png (id 1)",
            id="two entries, one image",
        ),
        pytest.param(
            ["/in/x.png"],
            ["x.png", "x.png", "x.png"],
            TWO_ENTRIES,
            "/in/x.png: x.png (id 0) and x.png (id 1) and 1 more",
            id="one name, three ids",
        ),
        pytest.param(
            ["/a/x.png", "/b/x.png"],
            ["c/x.png", "d/x.png"],
            TWO_ENTRIES,
            "/a/x.png and /b/x.png: c/x.png (id 0) and d/x.png (id 1)",
            id="two of each",
        ),
        pytest.param(
            ["/in/x.png"], ["X.png", "x.PNG"], TWO_ENTRIES, "X.png (id 0) and x.PNG", id="cases"
        ),
        pytest.param(
            ["/in/x.png"],
            ["01ab23cd-x.png", "01ab23ce-x.png"],
            TWO_ENTRIES,
            "01ab23cd-x.png (id 0) and 01ab23ce-x.png",
            id="two uploads of one name",
        ),
    ],
)
def test_what_fits_twice_stops_the_set(images, names, kind, told) -> None:
    problems = Problems()
    assert _match(images, names, problems) == ["?"] * len(images)
    assert problems.with_effect(Effect.STOPS) == {kind: 1}
    assert told in problems.examples(kind)[0]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        pytest.param("cam2/x.png", "cam1/x.png", id="another folder"),
        pytest.param("cam2/x.png", "..\\cam1\\x.png", id="another folder on Windows"),
        pytest.param("a.bmp", "a.png", id="another format"),
        pytest.param("a.png", "A.png", id="another case"),
        pytest.param("a.png", "01ab23cd-a.png", id="another upload"),
    ],
)
def test_an_entry_whose_own_image_is_there_belongs_to_no_other(
    tmp_path: Path, image: str, name: str
) -> None:
    """Also where that image is not asked for: it may be in the index of another set."""
    for path in (tmp_path / image, tmp_path / name.replace("\\", "/").removeprefix("../")):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    assert _match([str(tmp_path / image)], [name]) == [None]


def test_an_image_of_another_folder_is_told_with_both(tmp_path: Path) -> None:
    problems = Problems()
    _match([str(tmp_path / "cam2/x.png")], ["cam1/x.png"], problems)
    (example,) = problems.examples(OTHER_FOLDER)
    assert example == f"{tmp_path}/cam2/x.png is listed as cam1/x.png"


def test_many_images_of_one_name() -> None:
    """Videos have frames of the same names in thousands of folders."""
    images = [f"/in/{i:04}/0001.jpg" for i in range(3000)]
    names = [f"video/{i:04}/0001.jpg" for i in reversed(range(3000))]
    assert _match(images, names) == [f"video/{i:04}/0001.jpg" for i in range(3000)]


def test_nothing_to_match() -> None:
    assert _match([], ["a.png"]) == []
    assert _match(["/in/a.png"], []) == [None]
