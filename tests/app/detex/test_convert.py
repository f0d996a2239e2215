"""`detex convert` on results that infer and detect write, and on what users get wrong."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from app.detex.convert import report
from app.engine.structures.run_lengths import encode_bitmaps
from app.exchange.convert.run import NO_KEYPOINTS
from app.exchange.targets import TARGETS
from executor.dataset_reader import Asset
from executor.result_writer import InferEntries, write_infer_result
from executor.segmentation_result import Segment, segmentation_entry, write_segmentation_result

CLASSES = ["dog", "cat"]
NAMES = ["cam1/a.png", "cam2/a.png", "cam2/empty.png"]
SIZE = (20, 30)


@pytest.fixture(autouse=True)
def _own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EXECUTOR_IN", "EXECUTOR_OUT", "EXECUTOR_TASK"):
        monkeypatch.setenv(name, "")  # the verb sets them


class Run:
    """A task's folders with the result of an infer on three images, two of one name."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.images, self.input, self.out = root / "in/photos", root / "in", root / "out"
        self._capsys = capsys
        for number, name in enumerate(NAMES):
            self.add_image(name, number)
        self.index()
        self.input.joinpath("config.yaml").write_text(f"class_names: {CLASSES}\n")
        self.out.mkdir()

    def add_image(self, name: str, number: int = 0, size: tuple[int, int] = SIZE) -> None:
        (self.images / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size[::-1], (number, 0, 0)).save(self.images / name)

    def index(self, names: Sequence[str] = NAMES) -> None:
        lines = "".join(f"/in/photos/{name}\n" for name in names)
        self.input.joinpath("candidate-index.tsv").write_text(lines)

    def infer_boxes(self, names: Sequence[str] = NAMES) -> None:
        entries = InferEntries(CLASSES)
        boxes = [[1, 2, 11, 12], [5, 5, 30, 20]]
        written = [
            entries.entry(boxes=boxes, classes=[1, 0], scores=[0.9, 0.25], size=SIZE)
            if "empty" not in name
            else entries.entry()
            for name in names
        ]
        assets = [Asset(f"/in/photos/{name}") for name in names]
        write_infer_result(self.out / "infer-result.json", assets, written)

    def infer_masks(self) -> None:
        bits = np.zeros((1, *SIZE), dtype=bool)
        bits[0, 2:9, 3:8] = True
        counts = encode_bitmaps(bits)[0]["counts"]
        segment = Segment((3, 2, 8, 9), 1, 0.5, counts, 35.0)
        entries = [
            segmentation_entry([segment], size=SIZE),
            segmentation_entry(size=SIZE),
            segmentation_entry(size=(0, 0)),  # could not be read
        ]
        assets = [Asset(f"/in/photos/{name}") for name in NAMES]
        write_segmentation_result(self.out / "infer-result.json", assets, entries, CLASSES)

    def convert(self, target: str, **options: Any) -> tuple[int, dict[str, Any], str]:
        """Return the status, the counts, and what was said to the user."""
        given = {
            "out": None, "threshold": 0.0, "images": None, "input_dir": None,
            "replace_out": False, "as_json": True, **options,
        }  # fmt: skip
        status = report(given.pop("result", self.out), target, **given)
        told = self._capsys.readouterr()
        counts = json.loads(told.out) if told.out.startswith("{") else {}
        return status, counts, told.err + told.out


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(tmp_path, capsys)


@pytest.mark.parametrize("place", ["images", "input_dir"])
@pytest.mark.parametrize("target", TARGETS)
def test_boxes_of_infer(run: Run, target: str, place: str) -> None:
    run.infer_boxes()
    where = {"images": run.images} if place == "images" else {"input_dir": run.input}
    status, counts, _ = run.convert(target, threshold=0.3, **where)
    assert status == 0
    assert counts == {
        "out": str(run.out / f"detections-{target}"),
        "images": 3,
        "empty_images": 1,
        "objects": 2,
        "objects_by_class": {"cat": 2},
        # Without the task's folder nothing says which classes the model has.
        "class_names": CLASSES if place == "input_dir" else ["cat"],
        "below_threshold": 2,
        "left_out_images": {},
        "left_out_objects": {},
        "changed_objects": {},
    }


def test_images_of_one_name_keep_their_folders_and_numbers_the_model_s_order(run: Run) -> None:
    run.infer_boxes()
    run.convert("yolo", input_dir=run.input)
    labels = run.out / "detections-yolo/labels"
    assert (labels / "cam1/a.txt").read_text() == (
        "1 0.200000 0.350000 0.333333 0.500000\n0 0.583333 0.625000 0.833333 0.750000\n"
    )
    image = run.out / "detections-yolo/images/cam1/a.png"
    assert image.resolve() == (run.images / "cam1/a.png").resolve()
    assert (labels / "cam2/a.txt").read_text() == (labels / "cam1/a.txt").read_text()
    assert (labels / "cam2/empty.txt").read_text() == ""
    assert (run.out / "detections-yolo/classes.txt").read_text() == "dog\ncat\n"


def test_coco_api_reads_boxes_and_masks(run: Run) -> None:
    run.infer_masks()
    run.convert("coco", input_dir=run.input)
    coco = COCO(run.out / "detections-coco/annotations/instances_default.json")
    assert [image["file_name"] for image in coco.loadImgs([1, 2, 3])] == NAMES
    (found,) = coco.anns.values()
    assert (found["bbox"], found["score"], found["area"]) == ([3, 2, 5, 7], 0.5, 35)
    assert coco.cats[found["category_id"]]["name"] == "cat"
    assert coco.annToMask(found).sum() == 35


def test_without_the_images_coco_has_no_sizes_and_says_so(run: Run) -> None:
    run.infer_boxes()
    status, _, told = run.convert("coco", as_json=False)
    assert status == 0
    assert "3 x image without width and height" in told
    assert "numbered by name" in told
    content = json.loads(
        (run.out / "detections-coco/annotations/instances_default.json").read_text()
    )
    assert "width" not in content["images"][0]
    assert content["images"][1]["file_name"] == "in/photos/cam2/a.png"


def test_masks_of_unreadable_images_are_left_out(run: Run) -> None:
    run.infer_masks()
    (run.images / NAMES[2]).write_text("no picture")
    status, counts, _ = run.convert("cvat", input_dir=run.input)
    assert (status, counts["images"], counts["objects"]) == (0, 2, 1)
    assert sum(counts["left_out_images"].values()) == 1


def test_results_of_detect(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "OUT/detections"
    folder.mkdir(parents=True)
    images = [{"id": 1, "file_name": str(run.images / NAMES[0]), "height": 20, "width": 30}]
    categories = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]
    info = {"images": images, "categories": categories}
    (folder / "image_info.json").write_text(json.dumps(info))
    outside = {"image_id": 1, "category_id": 7, "bbox": [40, 5, 5, 5], "score": 0.5}
    found = {"image_id": 1, "category_id": 3, "bbox": [-1.5, 2, 40, 4.25], "score": 0.75}
    found["keypoints"] = [5, 5, 0.5]
    (folder / "coco_instances_results.json").write_text(json.dumps([outside, found]))
    status, counts, _ = run.convert("voc", result=tmp_path / "OUT")
    assert (status, counts["objects"], counts["class_names"]) == (0, 1, ["dog", "cat"])
    assert sum(counts["left_out_objects"].values()) == 1
    assert counts["changed_objects"] == {NO_KEYPOINTS: 1}
    text = (folder / "detections-voc/Annotations/a.xml").read_text()
    assert "<xmin>0.00</xmin>" in text
    assert "<xmax>30.00</xmax>" in text


def test_lines_of_detect(run: Run, tmp_path: Path) -> None:
    photo, gone = run.images / NAMES[0], run.images / "gone.png"
    cat = {"class": "cat", "score": 0.75, "box": [1.5, 2, 11, 12.25], "keypoints": [[1, 2, 0.5]]}
    lines = [
        {"event": "image", "file": str(photo), "width": 30, "height": 20, "objects": [cat]},
        {"event": "image", "file": str(gone), "error": "is no image"},
        {"event": "result", "status": 0, "class_names": CLASSES},
    ]
    result = tmp_path / "found.jsonl"
    result.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    status, counts, _ = run.convert("coco", result=result)
    assert (status, counts["images"], counts["class_names"]) == (0, 1, CLASSES)
    assert counts["changed_objects"] == {NO_KEYPOINTS: 1}
    assert sum(counts["left_out_images"].values()) == 1
    coco = COCO(tmp_path / "detections-coco/annotations/instances_default.json")
    assert [found["bbox"] for found in coco.anns.values()] == [[1.5, 2, 9.5, 10.25]]


def test_an_empty_result_gives_an_empty_set(run: Run) -> None:
    run.infer_boxes([])
    status, counts, _ = run.convert("yolo", images=run.images)
    assert (status, counts["images"], counts["objects"]) == (0, 0, 0)


def test_files_of_one_name_are_not_overwritten(run: Run) -> None:
    run.add_image("cam1/a.jpg")
    names = [*NAMES, "cam1/a.jpg"]
    run.index(names)
    run.infer_boxes(names)
    _, counts, _ = run.convert("labelme", input_dir=run.input)
    assert (counts["images"], counts["objects"]) == (3, 4)
    assert list(counts["left_out_images"].values()) == [1]
    assert run.convert("coco", input_dir=run.input)[1]["images"] == 4


def test_an_earlier_result_is_replaced_only_if_asked(run: Run) -> None:
    run.infer_boxes()
    out = run.out / "detections-yolo"
    assert run.convert("yolo", images=run.images)[0] == 0
    status, _, told = run.convert("yolo", images=run.images, threshold=0.95)
    assert status == 3
    assert "--force" in told
    assert run.convert("yolo", images=run.images, threshold=0.95, replace_out=True)[0] == 0
    assert (out / "labels/cam1/a.txt").read_text() == ""
    assert sorted(path.name for path in run.out.iterdir()) == [
        "detections-yolo",
        "infer-result.json",
    ]
    mine = run.out / "mine"
    mine.mkdir()
    (mine / "x").touch()
    assert run.convert("yolo", images=run.images, out=mine, replace_out=True)[0] == 3
    assert (mine / "x").exists()


@pytest.mark.parametrize(
    ("change", "options", "status", "said"),
    [
        pytest.param({}, {"target": "yolov5"}, 2, "coco, yolo, voc", id="layout"),
        pytest.param({}, {"threshold": 30.0}, 2, "0 to 1", id="threshold"),
        pytest.param({}, {"threshold": float("nan")}, 2, "0 to 1", id="threshold NaN"),
        pytest.param({}, {"input_dir": "nowhere"}, 2, "is not there", id="no such task"),
        pytest.param({}, {"result": "nowhere"}, 3, "no such file", id="no such result"),
        pytest.param({}, {"result": "in/config.yaml"}, 3, "is not JSON", id="not JSON"),
        pytest.param({"infer-result.json": "{}"}, {}, 3, "is no result", id="other JSON"),
        pytest.param({"infer-result.json": "[]"}, {}, 3, "image_info.json", id="no names"),
        pytest.param(
            {"infer-result.json": '{"detection": {"a.png": {"boxes": [{"score": 1}]}}}'},
            {},
            3,
            "no 'box'",
            id="a broken entry",
        ),
        pytest.param({}, {}, 3, "--images", id="no sizes"),
        pytest.param({}, {"images": "out"}, 3, "no image is left", id="another folder"),
        pytest.param({}, {"images": "in", "input_dir": "in"}, 2, "one of them", id="two places"),
        pytest.param(
            {"../in/candidate-index.tsv": "/in/photos/b.png\n"},
            {"input_dir": "in"},
            3,
            "has 3 images and the index of --in 1",
            id="an index of other images",
        ),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    run: Run,
    tmp_path: Path,
    change: dict[str, str],
    options: dict[str, Any],
    status: int,
    said: str,
) -> None:
    run.infer_boxes()
    for name, text in change.items():
        (run.out / name).write_text(text)
    for name in ("input_dir", "result", "images"):
        if name in options:
            options = {**options, name: tmp_path / options[name]}
    before = sorted(tmp_path.rglob("*"))
    result = run.convert(**{"target": "yolo", **options})
    assert result[0] == status
    assert said in result[2]
    assert result[2].count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_repeated_names_of_a_result_with_masks_need_the_task_s_folder(run: Run) -> None:
    run.infer_masks()
    status, _, told = run.convert("coco", images=run.images)
    assert status == 3
    assert "2 images are called a.png" in told
