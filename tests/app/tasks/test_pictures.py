"""Infer's `draw`: pictures of the first images of the index, each drawn once."""

import json

import pytest
from PIL import Image

from app.tasks import pictures
from app.tasks.__main__ import run_tasks


def nothing(fraction: float) -> None:
    """No progress is shown."""


def candidates(tree) -> list[str]:
    """The lines of the index."""
    return (tree.root / "in/candidate-index.tsv").read_text().splitlines()


class Killed(BaseException):
    """Nothing catches it."""


@pytest.fixture
def infer(with_model):
    """Runs infer with these settings; returns the names and times of the pictures."""
    tree = with_model
    tree.write_env(run_infer=True)

    def run(**settings):
        tree.write_config(conf_threshold=0.0, image_size=64, **settings)
        run_tasks(tree.env, nothing)
        return {p.name: p.stat().st_mtime_ns for p in sorted((tree.out / "pictures").glob("*"))}

    return run


def test_by_default_there_are_none(infer, with_model):
    assert infer() == {}
    assert not (with_model.out / "pictures").exists()


def test_the_first_images_of_the_index_are_drawn(infer, with_model):
    index = with_model.root / "in/candidate-index.tsv"
    lines = index.read_text().splitlines()
    with_model.write_index("candidate-index.tsv", lines[::-1])
    drawn = infer(draw=2)
    assert list(drawn) == ["000001_cand img_2.jpg", "000002_cand img_1.jpg"]
    with Image.open(with_model.out / "pictures" / next(iter(drawn))) as picture:
        assert picture.size == (600, 400)  # of 96 x 64
        with Image.open(lines[2]) as plain:
            found = picture.convert("RGB").getcolors(1 << 20)
            assert len(found) > len(plain.convert("RGB").getcolors(1 << 20))


def test_more_pictures_than_images_and_an_empty_index(infer, with_model):
    assert len(infer(draw=99)) == 3
    with_model.write_index("candidate-index.tsv", [])
    infer(draw=99)


def test_a_run_that_goes_on_draws_what_is_missing(infer, with_model, monkeypatch, caplog):
    caplog.set_level("INFO")
    infer()
    result = (with_model.out / "infer-result.json").read_bytes()
    real, drawn = pictures._draw, []

    def killed_at_the_second(*arguments):
        if drawn:
            raise Killed
        drawn.append(real(*arguments))

    monkeypatch.setattr(pictures, "_draw", killed_at_the_second)
    with pytest.raises(Killed):
        infer(draw=3)
    monkeypatch.setattr(pictures, "_draw", real)
    first = with_model.out / "pictures/000001_cand img_0.jpg"
    before = first.stat().st_mtime_ns
    expected = infer(draw=3)
    assert len(expected) == 3
    assert first.stat().st_mtime_ns == before
    assert "(1 by an earlier run)" in caplog.text
    assert infer(draw=3) == expected
    assert "3 of 3 images were finished by an earlier run" in caplog.text
    assert (with_model.out / "infer-result.json").read_bytes() == result


def test_pictures_of_other_results_are_replaced(infer, with_model):
    before = infer(draw=3)
    own = with_model.out / "pictures/notes.jpg"
    own.write_text("a user's file")
    with_model.write_index("candidate-index.tsv", candidates(with_model)[:2])
    after = infer(draw=2)
    assert list(after) == ["000001_cand img_0.jpg", "000002_cand img_1.jpg", "notes.jpg"]
    assert after["000001_cand img_0.jpg"] == before["000001_cand img_0.jpg"]
    with_model.write_index("candidate-index.tsv", candidates(with_model)[::-1])
    assert list(infer(draw=2)) == ["000001_cand img_1.jpg", "000002_cand img_0.jpg", "notes.jpg"]
    assert list(infer(draw=0)) == ["notes.jpg"]


def test_an_image_that_cannot_be_read_is_told(infer, with_model, caplog):
    broken = with_model.root / "in/assets/broken.jpg"
    broken.write_bytes(b"<html>")
    with_model.write_index("candidate-index.tsv", [str(broken), *candidates(with_model)])
    assert list(infer(draw=2)) == ["000002_cand img_0.jpg"]
    assert "draw: 1 images are not drawn, for example" in caplog.text


def test_a_folder_that_cannot_be_made_costs_no_result(infer, with_model, caplog):
    (with_model.out / "pictures").write_text("a file in its place")
    infer(draw=1)
    assert "draw: pictures cannot be written" in caplog.text
    assert "the result is complete without them" in caplog.text
    content = json.loads((with_model.out / "infer-result.json").read_text())
    assert len(content["detection"]) == 3


@pytest.mark.parametrize(
    ("image_text", "expected"),
    [
        pytest.param("/in/a b.jpg", "000007_a b.jpg", id="as it is"),
        pytest.param("/in/no suffix", "000007_no suffix.jpg", id="no suffix"),
        pytest.param(f"{'é' * 200}.png", f"000007_{'é' * 50}.jpg", id="long"),
        pytest.param("\udcff.png", "000007_\udcff.jpg", id="not UTF-8"),
    ],
)
def test_names_of_files(image_text, expected, tmp_path):
    name = pictures._file_name(7, image_text)
    assert name == expected
    assert pictures._NAME.fullmatch(name)
    (tmp_path / name).touch()  # a name that the file system takes
