"""A user's own data sets by `--coco`, without other options; classes are matched by name."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.cli.__main__ import main
from app.cli.arguments import Options, parse
from app.cli.data_sets import assign
from app.cli.settings import initial_weights, open_config
from app.engine.config import CfgNode, get_config, load_config
from app.engine.errors import ConfigError
from tests.app.cli.conftest import NARROW

FASTER = "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"
KEYPOINTS = "COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.yaml"
MASKS = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"
PANOPTIC = "COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.yaml"
ANY_DEVICE = [text for text in NARROW if text not in ("MODEL.DEVICE", "cpu")]
CATEGORIES = {"person": 1, "car": 3}

Own = Callable[..., tuple[str, str, str, str]]


@pytest.fixture
def own(data_root: Path, tmp_path: Path) -> Own:
    """The words `--coco NAME JSON IMAGES` for the four pictures, whose categories have any ids."""

    def make(
        name: str,
        ids: dict[str, int] | None = None,
        *,
        file: str = "instances_val2017",
        **change: Any,
    ) -> tuple[str, str, str, str]:
        content = json.loads((data_root / f"coco/annotations/{file}.json").read_text())
        new = {CATEGORIES[word]: number for word, number in (ids or CATEGORIES).items()}
        content["annotations"] = [
            annotation | {"category_id": new[annotation["category_id"]]}
            for annotation in content["annotations"]
        ]
        content["categories"] = [
            category | {"id": new[category["id"]]} for category in content["categories"]
        ]
        content |= change
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content))
        return "--coco", name, str(path), str(data_root / "coco/val2017")

    return make


def run(verb: str, config: str | Path, *words: str, output: Path | None = None) -> int:
    place = [] if output is None else ["--output", str(output)]
    return main([verb, "--config-file", str(config), *place, *words])


def categories(folder: Path) -> dict[str, int]:
    """Of a `detect`: name -> id."""
    content = json.loads((folder / "detections/image_info.json").read_text())
    return {category["name"]: category["id"] for category in content["categories"]}


def found(path: Path, names: dict[str, int]) -> list[tuple[Any, ...]]:
    """What a results file says, ids replaced by names: sorted."""
    name_of = {number: name for name, number in names.items()}
    return sorted(
        (result["image_id"], name_of[result["category_id"]], result["score"], result["bbox"])
        for result in json.loads(path.read_text())
    )


def test_a_config_and_data_are_enough_and_the_folder_is_a_model(own, data_root, tmp_path, caplog):
    """No number of classes, no device, no DATASETS.*; then the folder moves and needs nothing."""
    caplog.set_level(logging.INFO)
    out, moved = tmp_path / "out", tmp_path / "elsewhere/model"
    sets = (*own("mine", {"person": 7, "car": 2}), *own("holdout"))
    assert run("train", FASTER, *sets, *ANY_DEVICE, output=out) == 0
    for told in (
        "data sets: mine to learn from, holdout to measure on",
        "device: ",
        "MODEL.ROI_HEADS.NUM_CLASSES is 2, from mine (the config file says 80)",
        "classes: car, person",
        "holdout: classes are taken by name",
    ):
        assert told in caplog.text
    moved.parent.mkdir()
    shutil.move(out, moved)
    stored = moved / "config.yaml"
    for text in (stored, moved / "last/config.yaml"):
        assert str(tmp_path) not in text.read_text()
    photographs = ("--input", str(data_root / "coco/val2017"))
    assert run("detect", stored, *photographs) == 0
    assert categories(moved) == {"car": 2, "person": 7}
    assert run("export", stored, output=tmp_path / "exported") == 0
    assert str(tmp_path) not in (tmp_path / "exported/config.yaml").read_text()
    assert run("detect", tmp_path / "exported/config.yaml", *photographs, output=tmp_path) == 0
    assert categories(tmp_path) == {"car": 2, "person": 7}
    # Ids and order of a data set are its own; what is found is the same.
    results = []
    for name, ids in (("one", {"person": 7, "car": 2}), ("two", {"person": 4, "car": 5})):
        assert run("evaluate", stored, *own(name, ids), output=tmp_path / name) == 0
        path = tmp_path / name / "inference/coco_instances_results.json"
        results.append(found(path, ids))
    assert results[0] == results[1]
    assert len({name for _, name, *_ in results[0]}) == 2


def test_a_validation_set_in_another_order_gives_the_same_numbers(own, tmp_path):
    """Boxes of a proposal network's size: what counts is that objects keep their names."""
    metrics = []
    for name, ids in (("a", {"person": 1, "car": 2}), ("b", {"person": 2, "car": 1})):
        sets = (*own("mine"), *own(name, ids))
        out = tmp_path / f"out_{name}"
        assert run("train", FASTER, *sets, *NARROW, output=out) == 0
        lines = (out / "metrics.json").read_text().splitlines()
        metrics.append(json.loads(lines[-1]))
    for key in ("bbox/AP", "validation_loss_cls"):
        assert metrics[0][key] == pytest.approx(metrics[1][key], nan_ok=True, abs=1e-9)


def test_own_keypoints(own, data_root, tmp_path, caplog):
    """A number, mirror images and sigmas of their own; validation losses; ids and names stay."""
    caplog.set_level(logging.INFO)
    names = ["L-fin", "nose", "R-fin"]
    person = [{"id": 5, "name": "person", "keypoints": names}]
    content = json.loads((data_root / "coco/annotations/person_keypoints_val2017.json").read_text())
    points = [9, 9, 2, 12, 20, 2, 20, 12, 1]
    annotations = [
        a | {"category_id": 5, "keypoints": points, "num_keypoints": 3}
        for a in content["annotations"]
    ]
    change = {"categories": person, "annotations": annotations}
    sets = [own(name, file="person_keypoints_val2017", **change) for name in ("mine", "val")]
    out = tmp_path / "out"
    assert run("train", KEYPOINTS, *sets[0], *sets[1], *NARROW, output=out) == 0
    assert "TEST.KEYPOINT_OKS_SIGMAS is not set, so AP counts with 0.067 for 2 of 3" in caplog.text
    assert "validation_loss_keypoint" in (out / "metrics.json").read_text()
    assert json.loads((out / "metrics.json").read_text().splitlines()[-1])["keypoints/AP"] >= 0
    cfg = load_config(out / "config.yaml")
    assert names == cfg.MODEL.KEYPOINT_NAMES
    assert cfg.INPUT.RANDOM_FLIP == "horizontal"
    photographs = ("--input", str(data_root / "coco/val2017"))
    assert run("detect", out / "config.yaml", *photographs) == 0
    info = json.loads((out / "detections/image_info.json").read_text())
    assert info["categories"] == person
    # A file that lists them in another order is read by name.
    other = [{"id": 5, "name": "person", "keypoints": names[::-1]}]
    swapped = own("swapped", file="person_keypoints_val2017", **change | {"categories": other})
    caplog.clear()
    assert run("evaluate", out / "config.yaml", *swapped) == 0
    assert "swapped: keypoints are taken by name" in caplog.text
    lacking = [{"id": 5, "name": "person", "keypoints": ["L-fin", "nose", "tail"]}]
    wrong = own("wrong", file="person_keypoints_val2017", **change | {"categories": lacking})
    assert run("evaluate", out / "config.yaml", *wrong) == 1
    assert "it has tail; it lacks R-fin" in caplog.records[-1].getMessage()


@pytest.mark.parametrize(
    ("config", "words", "sentence"),
    [
        pytest.param(
            FASTER,
            ("MODEL.ROI_HEADS.NUM_CLASSES", "3"),
            "MODEL.ROI_HEADS.NUM_CLASSES is 3, but mine has 2",
            id="another number of classes",
        ),
        pytest.param(
            FASTER,
            ("MODEL.RETINANET.NUM_CLASSES", "3"),
            "MODEL.RETINANET.NUM_CLASSES is 3, but mine has 2",
            id="another number in another section",
        ),
        pytest.param(
            FASTER,
            ("MODEL.CLASS_NAMES", "['cat']"),
            "mine: its classes are not those of the model (it has person, car; it lacks cat)",
            id="other classes",
        ),
        pytest.param(
            FASTER,
            ("MODEL.CLASS_NAMES", "['car','car']"),
            "names a class twice",
            id="one class twice",
        ),
        pytest.param(FASTER, ("MODEL.DEVICE", "cuda:99"), "cuda:99", id="a GPU that is not there"),
        pytest.param(FASTER, ("MODEL.DEVICE", "cuda:x"), "cpu, cuda or cuda:N", id="no device"),
        pytest.param(KEYPOINTS, (), "mine has no named keypoints", id="no keypoints"),
        pytest.param(PANOPTIC, (), "mine has no label maps", id="no label maps"),
        pytest.param(
            FASTER, ("DATASETS.TRAIN", "('mien',)"), "did you mean mine", id="unknown name"
        ),
    ],
)
def test_contradictions_are_refused(own, tmp_path, caplog, config, words, sentence):
    assert run("train", config, *own("mine"), *ANY_DEVICE, *words, output=tmp_path / "out") == 1
    assert sentence in caplog.records[-1].getMessage()
    assert not (tmp_path / "out").exists()


def test_masks_must_be_there(own, data_root, tmp_path, caplog):
    content = json.loads((data_root / "coco/annotations/instances_val2017.json").read_text())
    boxes = [a | {"segmentation": []} for a in content["annotations"]]
    mine = own("mine", annotations=boxes)
    assert run("train", MASKS, *mine, *NARROW, output=tmp_path / "out") == 1
    assert "no object of mine has a mask" in caplog.records[-1].getMessage()


@pytest.mark.parametrize(
    ("words", "classes", "told"),
    [
        pytest.param((), ["person", "car"], "", id="all of the data"),
        pytest.param(
            ("MODEL.CLASS_NAMES", "['car','Person']"),
            ["car", "Person"],
            "class name in another case",
            id="in an order of one's own",
        ),
        pytest.param(
            ("MODEL.CLASS_NAMES", "['car']"),
            ["car"],
            "mine: 4 objects of classes that are none of the model are left out (person)",
            id="some of them",
        ),
        pytest.param(
            ("MODEL.CLASS_NAMES", "['car','cat','person']"),
            ["car", "cat", "person"],
            "mine: it does not list cat of the model",
            id="more than there are",
        ),
    ],
)
def test_given_classes(own, tmp_path, caplog, words, classes, told):
    caplog.set_level(logging.INFO)
    out = tmp_path / "out"
    short = ("SOLVER.MAX_ITER", "1")
    assert run("train", FASTER, *own("mine"), *NARROW, *short, *words, output=out) == 0
    cfg = load_config(out / "config.yaml")
    assert classes == cfg.MODEL.CLASS_NAMES
    assert len(set(cfg.MODEL.CATEGORY_IDS)) == cfg.MODEL.ROI_HEADS.NUM_CLASSES == len(classes)
    assert told in caplog.text


def test_a_models_classes_are_not_changed_in_silence(own, tmp_path, caplog):
    """A config that lists classes, and data that has more of them."""
    file = tmp_path / "base.yaml"
    stored = load_config(parse(["train", "--config-file", FASTER]).config_path)
    stored.MODEL.CLASS_NAMES = ["car"]
    file.write_text(stored.dump())
    assert run("train", file, *own("mine"), *NARROW, output=tmp_path / "out") == 1
    message = caplog.records[-1].getMessage()
    assert "classes that MODEL.CLASS_NAMES of" in message
    assert "add MODEL.CLASS_NAMES \"['car', 'person']\" to learn them" in message


def assigned(*words: str, verb: str = "train", train: str = "a_b", test: str = "a_c") -> CfgNode:
    """DATASETS.* of a config file that names built-in sets, or own ones, after `assign`."""
    options: Options = parse([verb, "--config-file", "x", *words])
    cfg = get_config()
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (train,), (test,)
    cfg.merge_from_list(options.overrides)
    assign(cfg, options)
    return cfg.DATASETS


def coco(*names: str) -> list[str]:
    return [word for name in names for word in ("--coco", name, "x.json", "images")]


TRAIN, TEST = "DATASETS.TRAIN", "DATASETS.TEST"


@pytest.mark.parametrize(
    ("words", "train", "test"),
    [
        pytest.param([], ("a_b",), ("a_c",), id="none of one's own"),
        pytest.param(coco("x"), ("x",), (), id="one"),
        pytest.param(coco("x", "y"), ("x",), ("y",), id="two"),
        pytest.param(coco("x", "y", "z"), ("x",), ("y", "z"), id="three"),
        pytest.param([*coco("x"), TRAIN, "('x',)", TEST, "('x',)"], ("x",), ("x",), id="both said"),
        pytest.param([*coco("x", "y"), TRAIN, "('y',)"], ("y",), ("x",), id="training said"),
        pytest.param([*coco("x", "y"), TEST, "('x',)"], ("y",), ("x",), id="test said"),
        pytest.param([*coco("x", "y", "z"), TEST, "('z',)"], ("x", "y"), ("z",), id="two to learn"),
        pytest.param([*coco("x", "y"), TRAIN, "('x','y')"], ("x", "y"), (), id="both to learn"),
        pytest.param([*coco("x"), TEST, "('x',)"], ("x",), ("x",), id="one to measure"),
        pytest.param(
            ["--data", "d", *coco("x"), TEST, "('x',)"], ("a_b",), ("x",), id="beside built-in ones"
        ),
        pytest.param(["--data", "d", *coco("x")], ("x",), (), id="in place of built-in ones"),
        pytest.param([*coco("a_b")], ("a_b",), (), id="the config file's set to learn"),
        pytest.param([*coco("a_c", "a_b")], ("a_b",), ("a_c",), id="both of the config file's"),
        pytest.param([*coco("x_val", "train_val")], ("x_val",), ("train_val",), id="unclear names"),
    ],
)
def test_what_own_sets_are_for_in_a_training(words, train, test):
    if "train_val" in words:
        with pytest.raises(ConfigError, match="put --coco train_val first"):
            assigned(*words)
        return
    found = assigned(*words)
    assert (train, test) == (found.TRAIN, found.TEST)


@pytest.mark.parametrize(
    ("names", "is_wrong"),
    [
        pytest.param(("val", "train"), True, id="plain"),
        pytest.param(("cats_test", "cats_train"), True, id="with a prefix"),
        pytest.param(("train", "val"), False, id="right"),
        pytest.param(("evaluation", "trainer"), False, id="other words"),
        pytest.param(("interval", "strain"), False, id="letters within words"),
        pytest.param(("val",), False, id="alone"),
    ],
)
def test_a_wrong_order_is_named(names, is_wrong):
    if is_wrong:
        with pytest.raises(ConfigError, match=f"put --coco {names[1]} first"):
            assigned(*coco(*names))
    else:
        assert names[:1] == assigned(*coco(*names)).TRAIN


@pytest.mark.parametrize(
    ("words", "test"),
    [
        pytest.param([], ("a_c",), id="none of one's own"),
        pytest.param(coco("x", "y"), ("x", "y"), id="all"),
        pytest.param([*coco("x", "y"), TEST, "('y',)"], ("y",), id="said"),
        pytest.param(coco("a_b", "a_c"), ("a_c",), id="as in the training"),
        pytest.param(coco("a_c", "x"), ("a_c", "x"), id="one more"),
        pytest.param(coco("a_b"), ("a_b",), id="the training set alone"),
    ],
)
def test_what_is_measured(words, test):
    assert test == assigned(*words, verb="evaluate").TEST


def test_sets_that_nothing_uses_are_told(caplog):
    assigned(*coco("x", "y"), TRAIN, "('x',)", TEST, "('x',)")
    assert "--coco y is not used" in caplog.text


def test_one_name_for_two_sets_is_refused(capsys):
    with pytest.raises(SystemExit):
        parse(["train", "--config-file", "x", *coco("x", "x")])
    assert "two data sets one name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("gpus", "in_file", "words", "device"),
    [
        pytest.param(0, "cuda", (), "cpu", id="no GPU"),
        pytest.param(2, "cuda", (), "cuda", id="a GPU"),
        pytest.param(2, "cpu", (), "cpu", id="the config file wants the CPU"),
        pytest.param(2, "cuda:1", (), "cuda:1", id="one of two"),
        pytest.param(1, "cuda:1", (), "cuda", id="one that another machine has"),
        pytest.param(
            2, "cuda", ("MODEL.DEVICE", "cpu"), "cpu", id="the command line wants the CPU"
        ),
        pytest.param(0, "cpu", ("MODEL.DEVICE", "cuda"), None, id="no GPU, but asked for"),
        pytest.param(1, "cuda", ("MODEL.DEVICE", "cuda:1"), None, id="the second of one"),
    ],
)
def test_the_device_is_what_is_there(tmp_path, monkeypatch, caplog, gpus, in_file, words, device):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    (tmp_path / "x.yaml").write_text(f"MODEL: {{DEVICE: '{in_file}'}}")
    options = parse(["train", "--config-file", str(tmp_path / "x.yaml"), *words])
    if device is None:
        with pytest.raises(ConfigError, match=r"MODEL.DEVICE is cuda.* GPU can be used here"):
            open_config(options)
    else:
        assert device == open_config(options).MODEL.DEVICE
        assert [r for r in caplog.records if r.getMessage().startswith("device: ")]


@pytest.mark.parametrize("verb", ["train", "evaluate", "detect", "export"])
def test_several_processes_are_refused(verb, monkeypatch, caplog):
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    words = ("--input", "x") if verb == "detect" else ()
    assert run(verb, FASTER, *words) == 1
    assert "torchrun started 2 processes" in caplog.records[-1].getMessage()


def test_weights_beside_the_config_go_before_those_of_the_working_folder(
    tmp_path, monkeypatch, caplog
):
    model, here = tmp_path / "model", tmp_path / "here"
    for folder in (model, here):
        folder.mkdir()
        (folder / "model_final.pth").write_bytes(b"x")
    cfg = load_config(parse(["train", "--config-file", FASTER]).config_path)
    cfg.MODEL.WEIGHTS, cfg.OUTPUT_DIR = "model_final.pth", ""
    (model / "config.yaml").write_text(cfg.dump())
    monkeypatch.chdir(here)
    options = parse(["evaluate", "--config-file", str(model / "config.yaml")])
    opened = open_config(options)
    assert initial_weights(opened, options) == model / "model_final.pth"
    assert str(model) == opened.OUTPUT_DIR
    said = parse(
        [
            *("evaluate", "--config-file", str(model / "config.yaml")),
            "MODEL.WEIGHTS",
            "model_final.pth",
        ]
    )
    assert initial_weights(open_config(said), said) == Path("model_final.pth")
