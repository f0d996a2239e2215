"""Every task of detectron2 from its configs and folders to results in COCO's formats."""

import errno
import json
import math
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from app.cli.__main__ import sentence_about
from app.cli.arguments import parse
from app.cli.detect import classes_of
from app.cli.train import _devices
from app.engine.config import load_config
from app.engine.data.datasets.panoptic import read_segments
from app.engine.data.images.finding import find_images
from app.engine.errors import ConfigError, DatasetError
from app.engine.structures.coco_classes import COCO_CLASSES
from app.places import CONFIG_ROOT

KEYPOINTS = "COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.yaml"
PANOPTIC = "COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.yaml"
SEMANTIC = "Misc/semantic_R_50_FPN_1x.yaml"
LVIS = "LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"
FASTER = "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"
FAST = "COCO-Detection/fast_rcnn_R_50_FPN_1x.yaml"
PROPOSALS = "COCO-Detection/rpn_R_50_FPN_1x.yaml"

TWO_CLASSES = ("MODEL.ROI_HEADS.NUM_CLASSES", "2")
STUFF = ("MODEL.SEM_SEG_HEAD.NUM_CLASSES", "2", "MODEL.PANOPTIC_FPN.COMBINE.STUFF_AREA_LIMIT", "1")
RESUME = ("--resume",)


def saved(tmp_path: Path, name: str):
    return json.loads((tmp_path / "out/inference" / name).read_text())


def last_metrics(tmp_path: Path) -> dict[str, float]:
    return json.loads((tmp_path / "out/metrics.json").read_text().splitlines()[-1])


def detected(cli, data_root: Path, tmp_path: Path) -> dict[str, int]:
    """Names and ids that the trained model's folder alone tells."""
    flags = ("--input", str(data_root / "coco/val2017"))
    assert cli("detect", str(tmp_path / "out/config.yaml"), flags=flags, narrow=False) == 0
    info = json.loads((tmp_path / "out/detections/image_info.json").read_text())
    return {category["name"]: category["id"] for category in info["categories"]}


def test_keypoints(cli, data_root, tmp_path, caplog):
    assert cli("train", KEYPOINTS) == 0
    assert last_metrics(tmp_path)["keypoints/AP"] >= 0
    assert cli("evaluate", KEYPOINTS, flags=RESUME) == 0
    results = saved(tmp_path, "coco_instances_results.json")
    assert len(results) == 4 * 5
    assert {len(result["keypoints"]) for result in results} == {3 * 17}
    gt = COCO(str(data_root / "coco/annotations/person_keypoints_val2017.json"))
    evaluation = COCOeval(gt, gt.loadRes(results), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    mine = last_metrics(tmp_path)
    assert mine["keypoints/AP"] == pytest.approx(100 * evaluation.stats[0], abs=1e-6)


def test_panoptic(cli, data_root, tmp_path, caplog):
    overrides = (*TWO_CLASSES, *STUFF)
    caplog.set_level("INFO")
    assert cli("train", PANOPTIC, *overrides) == 0
    assert 0 <= last_metrics(tmp_path)["panoptic_seg/PQ"] <= 100
    low = ("MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH", "0.0")
    caplog.clear()
    assert cli("evaluate", PANOPTIC, *overrides, *low, flags=RESUME) == 0
    assert "|  All   |" in caplog.text
    assert "copypaste: PQ,SQ,RQ" in caplog.text
    predictions = saved(tmp_path, "predictions.json")
    assert [c["id"] for c in predictions["categories"]] == [1, 3, 100]
    assert [i["id"] for i in predictions["images"]] == [10, 20, 30, 40]
    for annotation in predictions["annotations"]:
        path = tmp_path / "out/inference/predictions" / annotation["file_name"]
        described = annotation["segments_info"]
        assert set(np.unique(read_segments(path))) - {0} <= {info["id"] for info in described}
        assert {info["category_id"] for info in described} <= {1, 3, 100}
    assert any(annotation["segments_info"] for annotation in predictions["annotations"])
    assert saved(tmp_path, "coco_instances_results.json")
    assert {entry["category_id"] for entry in saved(tmp_path, "sem_seg_predictions.json")} <= {
        0,
        100,
    }
    assert detected(cli, data_root, tmp_path) == {"person": 1, "car": 3, "things": 0, "sky": 100}
    described = json.loads((tmp_path / "out/detections/predictions.json").read_text())
    assert {c["name"]: c["id"] for c in described["categories"]} == {
        "person": 1,
        "car": 3,
        "sky": 100,
    }


def test_semantic(cli, data_root, tmp_path):
    assert cli("train", SEMANTIC, *STUFF) == 0
    assert 0 <= last_metrics(tmp_path)["sem_seg/mIoU"] <= 100
    made = data_root / "coco/panoptic_stuff_val2017/000000000001.png"
    assert set(np.unique(np.asarray(Image.open(made)))) == {0, 1}
    assert cli("evaluate", SEMANTIC, *STUFF, flags=RESUME) == 0
    entries = saved(tmp_path, "sem_seg_predictions.json")
    assert {Path(entry["file_name"]).name for entry in entries} == {
        f"{number:012d}.jpg" for number in range(1, 5)
    }
    assert entries[0]["segmentation"]["size"] == [64, 64]
    assert detected(cli, data_root, tmp_path) == {"things": 0, "sky": 100}


def test_lvis_with_rare_classes_and_federated_loss(cli, tmp_path):
    federated = (
        *("MODEL.ROI_BOX_HEAD.USE_FED_LOSS", "True"),
        *("MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE", "True"),
        *("MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES", "1"),
        *("DATALOADER.REPEAT_THRESHOLD", "0.5"),
    )
    assert cli("train", LVIS, *TWO_CLASSES, *federated) == 0
    model = torch.load(tmp_path / "out/model_final.pth", weights_only=True)["model"]
    weights = model["roi_heads.box_predictor.fed_loss_cls_weights"]
    # The roots of 4 and 1 images.
    assert weights.tolist() == [2.0, 1.0]
    assert math.isfinite(last_metrics(tmp_path)["segm/APr"])
    assert cli("evaluate", LVIS, *TWO_CLASSES, *federated, flags=RESUME) == 0
    results = saved(tmp_path, "lvis_instances_results.json")
    assert {result["category_id"] for result in results} <= {1, 3}
    assert results[0]["segmentation"]["size"] == [64, 64]


def test_proposals_of_one_model_feed_another(cli, tmp_path):
    """What a proposal network finds is what Fast R-CNN looks at."""
    assert cli("train", PROPOSALS) == 0
    assert last_metrics(tmp_path)["box_proposals/AR@100"] >= 0
    assert cli("evaluate", PROPOSALS, flags=RESUME) == 0
    path = tmp_path / "out/inference/box_proposals.pkl"
    table = pickle.loads(path.read_bytes())
    assert table["ids"] == [10, 20, 30, 40]
    assert table["boxes"][0].shape == (len(table["objectness_logits"][0]), 4)
    files = [f"DATASETS.PROPOSAL_FILES_{part}" for part in ("TRAIN", "TEST")]
    given = [text for key in files for text in (key, f"('{path}',)")]
    kept = path.rename(tmp_path / "proposals.pkl")
    given = [text.replace(str(path), str(kept)) for text in given]
    assert cli("train", FAST, *TWO_CLASSES, *given) == 0
    assert cli("evaluate", FAST, *TWO_CLASSES, *given, flags=RESUME) == 0
    assert saved(tmp_path, "coco_instances_results.json")


def test_train_resumes_measures_every_set_and_verifies(cli, data_root, tmp_path, caplog):
    caplog.set_level("INFO")
    own = ("--coco", "mine", str(data_root / "coco/annotations/instances_val2017.json"))
    flags = (*own, str(data_root / "coco/val2017"))
    sets = ("DATASETS.TEST", "('coco_2017_val', 'mine')")
    assert cli("train", FASTER, *TWO_CLASSES, *sets, flags=flags) == 0
    assert "Evaluating on mine" in caplog.text
    assert "#instances" in caplog.text
    mine = json.loads((tmp_path / "out/inference/mine/coco_instances_results.json").read_text())
    assert len(mine) == 20
    further = ("SOLVER.MAX_ITER", "3", "DATASETS.TEST", "()")
    caplog.clear()
    assert cli("train", FASTER, *TWO_CLASSES, *further, flags=RESUME) == 0
    assert "Starting training from iteration 2" in caplog.text
    config = load_config(tmp_path / "out/config.yaml")
    assert config.SOLVER.MAX_ITER == 3
    for expected, status in (("[['bbox','AP',0.0,100.0]]", 0), ("[['bbox','AP',99.0,1.0]]", 1)):
        rows = ("TEST.EXPECTED_RESULTS", expected)
        assert cli("evaluate", FASTER, *TWO_CLASSES, *rows, flags=RESUME) == status
    assert "TEST.EXPECTED_RESULTS: bbox/AP is" in caplog.text


def test_detect_and_export(cli, data_root, tmp_path, caplog):
    caplog.set_level("INFO")
    none = ("DATASETS.TEST", "()")
    assert cli("train", FASTER, *TWO_CLASSES, *none) == 0
    weights = ("MODEL.WEIGHTS", "model.pth", "MODEL.DEVICE", "cpu")
    saved_config = str(tmp_path / "out/last/config.yaml")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    inputs = ("--input", str(data_root / "coco/val2017"), "--input", str(broken))
    assert cli("detect", saved_config, *weights, flags=inputs, narrow=False) == 0
    assert "broken.jpg" in caplog.text
    info = json.loads((tmp_path / "out/detections/image_info.json").read_text())
    assert [image["id"] for image in info["images"]] == [1, 2, 3, 4]
    assert info["categories"] == [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}]
    path = tmp_path / "out/detections/coco_instances_results.json"
    results = json.loads(path.read_text())
    assert {result["image_id"] for result in results} == {1, 2, 3, 4}
    assert cli("export", saved_config, *weights, narrow=False) == 0
    exported = load_config(tmp_path / "out/config.yaml").MODEL.WEIGHTS
    assert exported == "model_final.pth"
    assert str(tmp_path) not in (tmp_path / "out/config.yaml").read_text()
    assert "CLASS_NAMES" not in (tmp_path / "out/config.yaml").read_text()
    inputs = ("--input", str(data_root / "coco/val2017/000000000001.jpg"))
    config = str(tmp_path / "out/config.yaml")
    assert cli("detect", config, "MODEL.DEVICE", "cpu", flags=inputs, narrow=False) == 0
    again = json.loads(path.read_text())
    assert [r["score"] for r in again] == [r["score"] for r in results[: len(again)]]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param((FASTER, "MODEL.DEVIC", "cpu"), "did you mean", id="misspelt key"),
        pytest.param((FASTER, "SEED"), "stands alone", id="half a pair"),
        pytest.param((FASTER, "SEED", "1", "--resume", "x"), "put it before", id="late option"),
        pytest.param(("none.yaml",), "none.yaml", id="no such config"),
        pytest.param((FASTER, "DATASETS.TRAIN", "('coco_2071',)"), "coco_2017", id="unknown data"),
        pytest.param((FASTER, "DATASETS.TRAIN", "()"), "DATASETS.TRAIN is empty", id="no data"),
        pytest.param((FASTER,), "set MODEL.ROI_HEADS.NUM_CLASSES 2", id="80 classes for 2"),
        pytest.param((FASTER, "MODEL.DEVICE", "mps", *TWO_CLASSES), "mps", id="odd device"),
        pytest.param(
            (FASTER, "MODEL.WEIGHTS", "none.pth", *TWO_CLASSES), "no such file", id="no weights"
        ),
        pytest.param((SEMANTIC,), "SEM_SEG_HEAD.NUM_CLASSES", id="54 stuff classes for 2"),
        pytest.param(
            (FAST, "DATASETS.PROPOSAL_FILES_TRAIN", "('catalog://x',)"),
            "give its path",
            id="no proposals",
        ),
    ],
)
def test_mistakes_are_one_sentence(cli, caplog, arguments, sentence):
    assert cli("train", *arguments) == 1
    assert sentence in caplog.records[-1].getMessage()
    assert caplog.records[-1].exc_info is None
    assert "\n" not in caplog.records[-1].getMessage()


@pytest.mark.parametrize(
    ("verb", "arguments", "sentence"),
    [
        pytest.param("evaluate", (FASTER,), "nothing to evaluate", id="evaluate nothing"),
        pytest.param("evaluate", (FASTER, "MODEL.WEIGHTS", "x"), "no such file", id="no file"),
        pytest.param("export", (FASTER,), "nothing to export", id="export nothing"),
    ],
)
def test_weights_are_asked_for(cli, caplog, verb, arguments, sentence):
    assert cli(verb, *arguments) == 1
    assert sentence in caplog.records[-1].getMessage()


@pytest.mark.parametrize(
    ("number", "path", "sentence"),
    [
        pytest.param(errno.EISDIR, ("x",), "x: Is a directory; check the path", id="a folder"),
        pytest.param(errno.ENOSPC, ("x",), "free some space", id="a full disk"),
        pytest.param(errno.ENOSPC, (), "a file: No space left", id="a file without a name"),
    ],
)
def test_errors_of_files_say_what_to_do(number, path, sentence):
    assert sentence in str(sentence_about(OSError(number, os.strerror(number), *path)))


@pytest.mark.parametrize("arguments", [["train"], ["detect", "--config-file", "x"], ["sing"], []])
def test_usage_is_shown(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_numbers_below_zero_are_values():
    options = parse(["train", "--config-file", "x", "--resume", "SEED", "-1", "A", "-1e-5"])
    assert options.overrides == ("SEED", "-1", "A", "-1e-5")
    assert options.resume


def test_images_are_looked_for(tmp_path):
    with pytest.raises(DatasetError, match="no image in this folder; check"):
        find_images([tmp_path], option="--input")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DatasetError, match=r"no image in this folder, only other files \(1 .txt\)"):
        find_images([tmp_path], option="--input")
    with pytest.raises(DatasetError, match="no such file"):
        find_images([tmp_path / "a.jpg"], option="--input")


KINDS = {
    "a.jpg": "JPEG",
    "a.JPEG": "JPEG",
    "a.jfif": "JPEG",
    "a.png": "PNG",
    "a.bmp": "BMP",
    "a.gif": "GIF",
    "a.tif": "TIFF",
    "a.webp": "WEBP",
    "a.pgm": "PPM",
    "a.ppm": "PPM",
    "a.jp2": "JPEG2000",
    "a.avif": "AVIF",
    "sub/a": "PNG",
    "sub/0123abcd.data": "JPEG",
}
"""Name -> format: by name where that says it, else by content."""


def test_every_kind_of_image_is_found_and_the_rest_is_told(tmp_path, caplog):
    (tmp_path / "sub.png").mkdir()
    (tmp_path / "sub").mkdir()
    for name, kind in KINDS.items():
        Image.new("L", (8, 8)).save(tmp_path / name, format=kind)
    for name in ("notes.txt", "b.heic.txt", "._a.jpg", "no suffix"):
        (tmp_path / name).write_bytes(b"no picture")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    found = [str(path.relative_to(tmp_path)) for path in find_images([tmp_path], option="--input")]
    assert found == sorted([*KINDS, "broken.jpg"])
    assert "left out as no images: 1 .jpg, 2 .txt, 1 without a suffix" in caplog.text


def test_coco_has_eighty_classes():
    assert len(COCO_CLASSES) == 80
    assert (COCO_CLASSES[1], COCO_CLASSES[44], COCO_CLASSES[90]) == (
        "person",
        "bottle",
        "toothbrush",
    )


@pytest.mark.parametrize(
    ("device", "num_gpus", "expected"),
    [
        pytest.param("cpu", 1, ["cpu"], id="the CPU"),
        pytest.param("cuda", 2, ["cuda:0", "cuda:1"], id="two GPUs"),
        pytest.param("cuda:3", 1, ["cuda:3"], id="one by its number"),
        pytest.param("cuda", 0, None, id="no GPU"),
        pytest.param("cuda:3", 2, None, id="two by one number"),
    ],
)
def test_devices(device, num_gpus, expected):
    cfg = load_config(CONFIG_ROOT / "configs" / FASTER, ["MODEL.DEVICE", device])
    if expected is None:
        with pytest.raises(ConfigError, match="does not fit"):
            _devices(cfg, num_gpus)
    else:
        assert _devices(cfg, num_gpus) == expected


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        pytest.param([], list(COCO_CLASSES.values()), id="COCO's eighty"),
        pytest.param(["MODEL.CLASS_NAMES", "['ant','bee']"], ["ant", "bee"], id="its own"),
        pytest.param(["MODEL.ROI_HEADS.NUM_CLASSES", "2"], ["class 1", "class 2"], id="nobody's"),
        pytest.param(["MODEL.KEYPOINT_ON", "True", *TWO_CLASSES[:1], "1"], ["person"], id="person"),
    ],
)
def test_names_of_classes(overrides, names):
    cfg = load_config(CONFIG_ROOT / "configs" / FASTER, overrides)
    options = parse(["detect", "--config-file", FASTER, "--input", "x"])
    assert classes_of(cfg, options).class_names == names


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory.\nTried to")])
def test_memory_that_runs_out_is_one_sentence(cli, monkeypatch, caplog, error):
    def run(_options):
        raise error

    monkeypatch.setattr("app.cli.evaluate.run", run)
    assert cli("evaluate", FASTER) == 1
    assert "memory is too small" in caplog.records[-1].getMessage()
    assert "\n" not in caplog.records[-1].getMessage()
