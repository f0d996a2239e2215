"""`detex detect`: from files, folders and patterns to a table, JSON, CSV and pictures."""

import csv
import io
import json
import logging
import os
import pty
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from app.detex.detect import DetectRequest, report
from app.detex.detections import WRITERS
from app.engine.trained.found import Found, Vocabulary
from tests.app.detex.conftest import REPOSITORY
from verification.reliability.trees import paint


@pytest.fixture(autouse=True)
def _logs_are_left_to_pytest(monkeypatch):
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)


@pytest.fixture
def images(tmp_path, monkeypatch) -> Path:
    """Three images, one of them two folders down, in a folder beside other files."""
    folder = tmp_path / "images"
    (folder / "day 1/a").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "day 1/a/a.png")):
        paint(folder / name, number)
    (folder / "notes.txt").write_text("not an image")
    monkeypatch.chdir(tmp_path)
    return Path("images")


@pytest.fixture
def detect(finding_models, capsys):
    """Detect on paths; return status, standard output and standard error."""

    def run(*paths, model=finding_models, threshold=0.9, **options):
        request = DetectRequest(tuple(map(Path, paths)), model, threshold, **options)
        status = report(request)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def files_of(lines):
    return [each["file"] for each in lines if "file" in each]


def test_a_table_has_a_line_for_each_object(detect, images):
    status, out, err = detect(images / "a.png")
    header, *lines = out.splitlines()
    assert (status, header.split()) == (0, ["score", "class", "x0", "y0", "x1", "y1", "file"])
    assert len(lines) == 100
    assert all(line.endswith("  images/a.png") for line in lines)
    assert (
        len(
            {
                line.index("images/a.png")
                for line in [header.replace("file", "images/a.png"), *lines]
            }
        )
        == 1
    )
    assert err.startswith("100 objects in 1 image (0 without objects, 0 unreadable) in ")


def test_an_image_without_objects_has_a_line_in_the_table(detect, images):
    _, out, err = detect(images / "a.png", threshold=1.0)
    assert out.splitlines()[1].split() == ["-", "nothing", "images/a.png"]
    assert "(1 without objects" in err


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        pytest.param(["images"], ["a.png", "b.png", "day 1/a/a.png"], id="a folder"),
        pytest.param(["images/b.png", "images/a.png"], ["b.png", "a.png"], id="files"),
        pytest.param(["images/*.png"], ["a.png", "b.png"], id="a pattern"),
        pytest.param(["images/**/a.png"], ["a.png", "day 1/a/a.png"], id="at any depth"),
        pytest.param(["images/b.png", "images"], ["b.png", "a.png", "day 1/a/a.png"], id="once"),
    ],
)
def test_json_names_every_image_once(detect, images, named, expected, caplog):
    status, out, _ = detect(*named, form="json")
    *lines, result = map(json.loads, out.splitlines())
    assert files_of(lines) == [f"images/{name}" for name in expected]
    assert result["status"] == status == 0
    assert (result["images"], result["objects"]) == (len(expected), 100 * len(expected))
    first = lines[0]
    assert (first["event"], first["width"], first["height"]) == ("image", 96, 64)
    assert set(first["objects"][0]) == {"class", "score", "box"}
    assert ("left out as no images: 1 .txt" in caplog.text) == ("images" in named)


def test_csv(detect, images):
    status, out, _ = detect(images, form="csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (status, len(rows)) == (0, 300)
    assert rows[0]["class"] in ("red box", "blue box")
    assert float(rows[0]["x1"]) >= float(rows[0]["x0"])


def test_unreadable_images_are_told_and_counted(detect, images, caplog):
    (images / "bad.jpg").write_text("text")
    status, out, err = detect(images, form="json")
    *lines, result = map(json.loads, out.splitlines())
    assert (status, result["images"], result["unreadable"]) == (0, 4, 1)
    (bad,) = [line for line in lines if "error" in line]
    assert "bad.jpg: the image cannot be read (text)" in bad["error"]
    assert "1 x unreadable image, for example images/bad.jpg" in caplog.text
    assert "(0 without objects, 1 unreadable)" in err


def test_without_one_readable_image_the_status_is_that_of_data(detect, images):
    (images / "bad.jpg").write_text("text")
    status, _, err = detect(images / "bad.jpg")
    assert status == 3
    assert err == (
        "detex: none of 1 images can be read; for example images/bad.jpg: the image cannot be read"
        " (text); replace the file or leave it out\n"
    )


def test_pictures_keep_the_folders_and_are_no_input_of_the_next_run(detect, images):
    shutil.copy(images / "a.png", images / "c.bmp")
    for _ in range(2):
        status, out, _ = detect(images, pictures=images / "drawn", form="json")
        assert status == 0
        assert json.loads(out.splitlines()[-1])["images"] == 4
    names = {str(p.relative_to(images / "drawn")) for p in images.glob("drawn/**/*.*")}
    assert names == {"a.png", "b.png", "day 1/a/a.png", "c.bmp.jpg"}
    with Image.open(images / "drawn/a.png") as drawn:
        assert drawn.size == (600, 400)


def test_pictures_of_one_name_are_kept_apart(detect, images):
    detect(images / "a.png", images / "day 1/a/a.png", pictures=Path("drawn"))
    assert {path.name for path in Path("drawn").iterdir()} == {"a.png", "a-2.png"}


@pytest.mark.parametrize(
    ("paths", "options", "sentence", "status"),
    [
        pytest.param(["none.jpg"], {}, "none.jpg: there is no such file", 3, id="no file"),
        pytest.param(["*.gif"], {}, "no file matches this pattern", 3, id="no match"),
        pytest.param(["images/empty"], {}, "no image in this folder", 3, id="an empty folder"),
        pytest.param(["images"], {"model": None}, "there is no out/models here", 2, id="no model"),
        pytest.param(["images"], {"model": Path("x")}, "x: there is no such", 4, id="not there"),
        pytest.param(["images"], {"threshold": 30}, "--threshold is 30; give", 2, id="percent"),
        pytest.param(["images"], {"image_size": -1}, "image_size is -1", 2, id="image size"),
        pytest.param(
            ["images"], {"pictures": Path("images")}, "is the folder of the images", 2, id="onto"
        ),
        pytest.param(
            ["images/a.png"], {"pictures": Path("images")}, "a.png itself lies", 2, id="onto itself"
        ),
        pytest.param(
            ["images"], {"pictures": Path("images/a.png")}, "is no folder", 2, id="into a file"
        ),
    ],
)
def test_mistakes_are_one_sentence(detect, images, paths, options, sentence, status):
    (images / "empty").mkdir()
    before = (images / "a.png").read_bytes()
    got, out, err = detect(*paths, **options)
    assert (got, out) == (status, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert (images / "a.png").read_bytes() == before


def test_the_default_model_is_that_of_a_training_into_out(detect, images, finding_models):
    Path("out").mkdir()
    Path("out/models").symlink_to(finding_models)
    assert detect(images, model=None)[0] == 0


def test_the_command(detex, images, finding_models):
    words = ("--model", str(finding_models), "--threshold", "0.9", "--draw", "drawn", "--csv")
    done = detex("detect", "images/*.png", *words, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 201
    assert {path.name for path in Path("drawn").iterdir()} == {"a.png", "b.png"}


def test_a_bar_on_a_terminal_leaves_the_output_alone(images, finding_models):
    terminal, end = pty.openpty()
    words = ["detect", "images", "--model", str(finding_models), "--threshold", "0.9", "--csv"]
    code = "from app.detex.__main__ import main; main()"
    variables = {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=end,
        check=True,
        timeout=120,
    )
    os.close(end)
    shown = b""
    with suppress(OSError):  # the end of a terminal
        while part := os.read(terminal, 4096):
            shown += part
    os.close(terminal)
    assert len(done.stdout.splitlines()) == 301
    assert b"\x1b" not in done.stdout
    assert b"100.0 %" in shown
    assert b"300 objects in 3 images" in shown


def test_json_has_masks_keypoints_and_shares_of_a_label_map(capsys):
    masks = np.zeros((1, 4, 8), dtype=np.bool_)
    masks[0, 1:3, 2:6] = True
    logits = np.zeros((2, 4, 8), dtype=np.float32)
    logits[1, :, 6:] = 1.0
    raw = SimpleNamespace(
        image_size=(4, 8),
        boxes=np.array([[2, 1, 6, 3]], dtype=np.float32),
        scores=np.array([0.5], dtype=np.float32),
        classes=np.array([0]),
        masks=masks,
        keypoints=np.array([[[2.5, 1.5, 0.25]]]),
        semantic=logits,
    )
    vocabulary = Vocabulary(("cat",), (1,), stuff=("things", "sky"))
    found = Found.of(raw, threshold=0.0, vocabulary=vocabulary, picture=Image.new)
    WRITERS["json"](["cat"]).add(Path("a.jpg"), found)
    said = json.loads(capsys.readouterr().out)
    (each,) = said["objects"]
    assert (each["class"], each["score"], each["box"]) == ("cat", 0.5, [2, 1, 6, 3])
    assert (coco_mask.decode(each["segmentation"]) == masks[0]).all()
    assert each["keypoints"] == [[2.5, 1.5, 0.25]]
    assert said["regions"] == {"things": 0.75, "sky": 0.25}
