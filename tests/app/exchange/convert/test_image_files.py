"""Images are found by what a result calls them, or it is said that they cannot be told apart."""

from pathlib import Path

import pytest

from app.engine.errors import DatasetError
from app.exchange.convert.image_files import common_folder, find_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cam1/a.jpg", "cam2/a.jpg", "cam2/b.jpg", "c.png", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("names", "files"),
    [
        pytest.param([], {}, id="none"),
        pytest.param(["c.png"], {"c.png": "c.png"}, id="a bare name"),
        pytest.param(["b.jpg"], {"b.jpg": "cam2/b.jpg"}, id="a bare name in a folder"),
        pytest.param(["/in/x/cam1/a.jpg"], {"/in/x/cam1/a.jpg": "cam1/a.jpg"}, id="end of a path"),
        pytest.param(
            ["a.jpg", "/in/cam2/a.jpg"],
            {"a.jpg": "cam1/a.jpg", "/in/cam2/a.jpg": "cam2/a.jpg"},
            id="a bare name is what the paths leave over",
        ),
        pytest.param(["./c.png"], {"./c.png": "c.png"}, id="a dot"),
        pytest.param(["d.jpg", "notes.txt", ".hidden.jpg"], {}, id="not there, or no image"),
    ],
)
def test_which_file_a_name_means(folder: Path, names: list[str], files: dict[str, str]) -> None:
    found = find_images(names, folder)
    assert {name: file.relative_to(folder).as_posix() for name, file in found.items()} == files


def test_a_name_that_two_files_have_is_refused(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\.jpg may be cam1/a\.jpg or cam2/a\.jpg .* --in"):
        find_images(["a.jpg"], folder)


def test_a_folder_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"no such folder"):
        find_images(["a.jpg"], folder / "cam3")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param([], ".", id="none"),
        pytest.param(["/a/b/x.jpg"], "/a/b", id="one"),
        pytest.param(["/a/b/x.jpg", "/a/b/c/y.jpg", "/a/bc/z.jpg"], "/a", id="several"),
    ],
)
def test_the_folder_of_all(files: list[str], expected: str) -> None:
    assert common_folder(map(Path, files)) == Path(expected)
