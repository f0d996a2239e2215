"""`detex show`: pictures of labels, of what infer found, and of both."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

from app.detex.show import ShowRequest, report, spread
from app.engine.drawing import class_color
from verification.reliability.trees import COLOURS, annotate, paint

NAMES = list(COLOURS)


@pytest.fixture(autouse=True)
def _logs_are_left_to_pytest(monkeypatch):
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)


@pytest.fixture
def task(tmp_path, monkeypatch) -> Path:
    """A task's folder with four training images, two for validation, which are candidates, too."""
    monkeypatch.chdir(tmp_path)
    for variable in ("EXECUTOR_IN", "EXECUTOR_OUT", "EXECUTOR_TASK"):
        monkeypatch.setenv(variable, "")  # so that what show sets is undone
    folder = tmp_path / "in"
    (folder / "assets").mkdir(parents=True)
    lines = []
    for number in range(6):
        boxes = paint(folder / f"assets/{number}.png", number, 0 if number == 1 else 2)
        annotate(folder / f"assets/{number}.txt", boxes)
        lines.append(f"/in/assets/{number}.png\t/in/assets/{number}.txt\n")
    (folder / "train-index.tsv").write_text("".join(lines[:4]))
    (folder / "val-index.tsv").write_text("".join(lines[4:]))
    (folder / "candidate-index.tsv").write_text("/in/assets/4.png\n/in/assets/5.png\n")
    write_config(folder, class_names=NAMES)
    return Path("in")


def write_config(folder: Path, **settings) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))


@pytest.fixture
def result(tmp_path) -> Path:
    """An /out of infer."""
    (tmp_path / "out").mkdir()
    box = {"x": 10, "y": 8, "w": 40, "h": 30}
    found = [
        {"box": box, "class_name": NAMES[1], "score": 0.9},
        {"box": box, "class_name": NAMES[1], "score": 0.2},
    ]
    content = {"detection": {"4.png": {"boxes": found}, "5.png": {"boxes": []}}}
    (tmp_path / "out/infer-result.json").write_text(json.dumps(content))
    return Path("out")


@pytest.fixture
def show(capsys):
    """Show a source; return status, standard output and standard error."""

    def run(source, *, input_dir=None, out=Path("show"), n=16, threshold=0.3, as_json=False):
        request = ShowRequest(Path(source), input_dir, out, n, threshold)
        status = report(request, as_json=as_json)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def pictures(section: str) -> list[str]:
    return sorted(path.name for path in Path("show", section).glob("*"))


def has_color(path: Path, color: tuple[int, int, int]) -> bool:
    with Image.open(path) as picture:
        away = np.abs(np.asarray(picture).astype(int) - color).sum(axis=2)
    return bool((away < 40).sum() > 100)  # JPEG changes colours a little


def test_labels_of_a_task(show, task):
    status, out, _ = show(task)
    assert status == 0
    assert out.splitlines() == [
        "training: 4 of 4 images, 6 objects (3 blue box, 3 red box) in all",
        "validation: 2 of 2 images, 4 objects (2 blue box, 2 red box) in all",
        "6 pictures: show/index.html, show/sheet.jpg",
    ]
    assert pictures("training") == [f"000{k + 1}_{k}.jpg" for k in range(4)]
    assert has_color(Path("show/training/0001_0.jpg"), class_color(0))
    assert not has_color(Path("show/training/0002_1.jpg"), class_color(0))
    page = Path("show/index.html").read_text()
    for path in Path("show").glob("*/*.jpg"):
        assert f"src='{path.relative_to('show')}'" in page
    with Image.open("show/sheet.jpg") as sheet:
        assert sheet.width > 1000


def test_so_many_of_each_set_evenly_spaced(show, task):
    show(task, n=2)
    assert pictures("training") == ["0001_0.jpg", "0002_2.jpg"]
    assert spread(range(10), 3) == [0, 3, 6]
    assert spread(range(3), 0) == range(3)


def test_what_was_found(show, task, result):
    write_config(task, conf_threshold=0.3)  # names no classes, so labels mean nothing
    status, out, _ = show(result, input_dir=task)
    assert status == 0
    assert out.splitlines()[0] == (
        "found: 2 of 2 images, 1 object (1 blue box) in all with a score from 0.3; without labels"
    )
    assert pictures("found") == ["0001_4.jpg", "0002_5.jpg"]
    assert has_color(Path("show/found/0001_4.jpg"), class_color(0))  # the only class of the result


def test_what_was_found_beside_labels(show, task, result):
    status, out, _ = show(result / "infer-result.json", input_dir=task)
    assert status == 0
    assert "labels of 2 are dashed" in out
    assert has_color(Path("show/found/0001_4.jpg"), class_color(1))
    assert has_color(Path("show/found/0002_5.jpg"), (255, 255, 255))  # nothing found, two labelled
    assert "0 objects, 2 labelled (dashed)" in Path("show/index.html").read_text()


def test_masks_of_a_result(show, task, tmp_path):
    bitmap = np.zeros((64, 96), dtype=np.uint8)
    bitmap[10:50, 20:80] = 1
    code = coco_mask.encode(np.asfortranarray(bitmap))
    images = [{"id": k, "file_name": f"{k}.png", "height": 64, "width": 96} for k in (4, 5)]
    annotation = {
        "image_id": 4,
        "category_id": 0,
        "bbox": [20, 10, 60, 40],
        "confidence": 0.8,
        "segmentation": {"size": [64, 96], "counts": code["counts"].decode()},
    }
    categories = [{"id": 0, "name": NAMES[0]}]
    content = {"images": images, "annotations": [annotation], "categories": categories}
    (tmp_path / "masks.json").write_text(json.dumps(content))
    assert show("masks.json", input_dir=task)[0] == 0
    with Image.open("show/found/0001_4.jpg") as drawn, Image.open("in/assets/4.png") as plain:
        inside = (400 // 64 * 48, 400 // 64 * 45)
        before = plain.convert("RGB").resize(drawn.size).getpixel(inside)
        assert drawn.getpixel(inside) != before


def test_labels_with_polygons_and_keypoints(show, task):
    points = [value for k in range(17) for value in (20 + k, 20 + k, 2)]
    annotation = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [10, 10, 60, 40],
        "area": 2400,
        "iscrowd": 0,
        "segmentation": [[10, 10, 70, 10, 70, 50, 10, 50]],
        "keypoints": points,
        "num_keypoints": 17,
    }
    content = {
        "images": [{"id": 1, "file_name": "0.png", "height": 64, "width": 96}],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": NAMES[0]}],
    }
    (task / "coco.json").write_text(json.dumps(content))
    (task / "train-index.tsv").write_text("/in/assets/0.png\t/in/coco.json\n")
    (task / "val-index.tsv").unlink()
    status, out, _ = show(task)
    assert (status, out.splitlines()[0]) == (
        0,
        "training: 1 of 1 images, 1 object (1 red box) in all",
    )
    assert has_color(Path("show/training/0001_0.jpg"), class_color(0))


def test_unreadable_images_are_counted(show, task, result):
    (task / "assets/4.png").write_text("text")
    status, out, _ = show(result, input_dir=task, as_json=True)
    said = json.loads(out)
    assert (status, said["pictures"]) == (0, 1)
    assert said["left_out"] == {"image that cannot be read (left out)": 1}


def test_a_folder_of_pictures_is_replaced_and_no_other(show, task):
    show(task, n=1)
    show(task, n=0)
    assert len(pictures("training")) == 4
    Path("mine").mkdir()
    Path("mine/notes").touch()
    status, _, err = show(task, out=Path("mine"))
    assert status == 2
    assert "mine: is there and was not made by show" in err
    assert [path.name for path in Path("mine").iterdir()] == ["notes"]


@pytest.mark.parametrize(
    ("source", "input_dir", "sentence", "status"),
    [
        pytest.param("none", None, "none: there is no such file or folder", 3, id="nothing"),
        pytest.param("in/assets", None, "this folder holds no result", 3, id="only images"),
        pytest.param("in", Path("in"), "is a task's folder, which has its own", 2, id="in twice"),
        pytest.param("out", None, "does not say where its images are; add --in", 2, id="no --in"),
        pytest.param("out", Path("none"), "--in none: is not there", 2, id="no such --in"),
        pytest.param("short.json", Path("in"), "has 1 images and", 3, id="another task's"),
        pytest.param("empty", None, "list no labelled image that can be used", 3, id="no labels"),
        pytest.param("unset", None, "class_names", 2, id="a wrong config.yaml"),
    ],
)
def test_mistakes_are_one_sentence(show, task, result, source, input_dir, sentence, status):
    entry = {"4.png": {"boxes": []}}
    Path("short.json").write_text(json.dumps({"detection": entry}))
    for name, settings in (("empty", {"class_names": NAMES}), ("unset", {})):
        Path(name).mkdir()
        Path(name, "train-index.tsv").touch()
        write_config(Path(name), **settings)
    got, out, err = show(source, input_dir=input_dir)
    assert (got, out) == (status, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert not Path("show").exists()


def test_the_command(detex, task):
    done = detex("show", "in", "--n", "1", "--out", "here", cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    assert "2 pictures: here/index.html, here/sheet.jpg" in done.stdout
