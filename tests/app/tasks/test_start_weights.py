"""The weights from which a training starts, what it logs, and what it refuses at once."""

import logging
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from app.engine.checkpoint import CheckpointStore
from app.engine.config import set_classes
from app.engine.errors import CheckpointError, DownloadError
from app.tasks import weights_at_hand
from app.tasks.args_options import parse_args_options
from app.tasks.config_file import named_config
from app.tasks.rehearsal import rehearse
from app.tasks.start_weights import StartWeights, find_start
from executor.errors import ModelError
from executor.hyperparameters import TrainHyperparameters
from verification.reliability.trees import LIGHT, save_untrained

OTHER_BODY = "configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml"
OTHER_HEAD = "configs/Mobile/faster_rcnn_mobilenetv2_FPN_light.yaml"
SCRATCH = "configs/Misc/scratch_mask_rcnn_R_50_FPN_3x_gn.yaml"
NAMES = ("red box", "blue box")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of the light config: model.pth and config.yaml."""
    folder = tmp_path_factory.mktemp("models")
    weights = next(path for path in save_untrained(folder) if path.name == "model.pth")
    return weights.parent


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path / "no weights"))
    monkeypatch.setattr(weights_at_hand, "weights_folders", lambda: [tmp_path / "no weights"])
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr("app.engine.checkpoint.weights.PAUSE_S", 0.01)


def start(
    tree: Any,
    *,
    listed: tuple[Path, ...] = (),
    options: str = "",
    config_file: str = LIGHT,
    names: tuple[str, ...] = NAMES,
) -> StartWeights:
    hp = TrainHyperparameters(
        class_names=names,
        config_file=config_file,
        args_options=options,
        pretrained_model_params=listed,
    )
    taken_apart = parse_args_options(options)
    planned = named_config(hp, taken_apart)
    set_classes(planned, names)
    checkpoints = tree.out / "training/checkpoints"
    return find_start(
        tree.env, hp, planned, taken_apart, rehearse(planned), checkpoints=checkpoints
    )


@pytest.fixture
def models(tree: Any, caplog: pytest.LogCaptureFixture) -> Path:
    caplog.set_level(logging.INFO)
    tree.write_env(run_training=True)
    folder: Path = tree.root / "in/models"
    return folder


def put(stage: Path, folder: Path) -> Path:
    shutil.copytree(stage, folder, dirs_exist_ok=True)
    return folder / "model.pth"


# which --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["stage", ".", "deep/er"])
def test_a_model_that_lies_there_is_used_and_told(
    tree: Any, models: Path, stage: Path, layout: str, caplog: pytest.LogCaptureFixture
):
    weights = put(stage, models / layout)

    found = start(tree, names=("blue box", "green box"))

    assert found.path == weights
    assert found.class_names == list(NAMES)
    line = next(m for m in caplog.messages if m.startswith("training: starts from"))
    assert re.search(
        rf"starts from {re.escape(str(weights))} \(found in {re.escape(str(models))}, since "
        r"pretrained_model_params is not set\): (\d+) of \1 parameters and buffers fit, 0 start "
        r"anew\. Classes by name: kept \['blue box'\]; new \['green box'\]; dropped \['red box'\]",
        line,
    )


@pytest.mark.parametrize(
    ("files", "told"),
    [
        pytest.param([], None, id="an empty folder"),
        pytest.param(["ymir-info.yaml", "result.yaml"], None, id="what platforms write"),
        pytest.param([".DS_Store", "__MACOSX/._model.pth", "._best.pt"], None, id="hidden files"),
        pytest.param(["model.onnx", "readme.txt"], "no weights to start from", id="other files"),
        pytest.param(["model.pth/data.pkl"], "model.pth is a folder", id="an unpacked file"),
    ],
)
def test_a_folder_without_weights_is_no_start(
    tree: Any, models: Path, files: list[str], told: str | None, caplog: pytest.LogCaptureFixture
):
    for name in files:
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        (models / name).write_text("{}")

    assert start(tree, config_file=SCRATCH) == StartWeights("", None)
    assert "starts from random weights (MODEL.WEIGHTS of config_file is empty)" in caplog.text
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert bool(warnings) == bool(told)
    assert (told or "") in "".join(warnings)


def test_without_a_folder_of_models(tree: Any, models: Path):
    models.rmdir()

    assert start(tree, config_file=SCRATCH).path is None


def test_the_best_of_several_stages_is_used_unless_another_is_chosen(
    tree: Any, models: Path, stage: Path, caplog: pytest.LogCaptureFixture
):
    first, best = put(stage, models / "a"), put(stage, models / "b")
    (models / "result.yaml").write_text(
        "best_stage_name: b\nmodel_stages: {a: {files: [model.pth]}, b: {files: [model.pth]}}"
    )

    assert start(tree).path == best
    assert f"2 files with weights; {best} is taken" in caplog.text
    assert start(tree, listed=(first, first.with_name("config.yaml"))).path == first
    assert "(pretrained_model_params): " in caplog.text


def test_the_best_stage_of_a_platforms_package(tree: Any, models: Path, stage: Path):
    put(stage, models / "a")
    best = put(stage, models / "b")
    (models / "ymir-info.yaml").write_text(
        "best_stage_name: b\nstages: {a: {files: [model.pth]}, b: {files: [model.pth]}}"
    )

    assert start(tree).path == best


@pytest.mark.parametrize("listed", [False, True])
def test_weights_in_args_options_go_before_a_model_that_nobody_chose(
    tree: Any, models: Path, stage: Path, listed: bool, caplog: pytest.LogCaptureFixture
):
    weights = put(stage, models / "a")

    found = start(tree, options="MODEL.WEIGHTS ''", listed=(weights,) if listed else ())

    assert found.path == (weights if listed else None)
    expected = "MODEL.WEIGHTS has no effect beside" if listed else f"{weights} is not used"
    assert expected in caplog.text


def test_a_checkpoint_goes_before_all_weights(
    tree: Any, models: Path, stage: Path, caplog: pytest.LogCaptureFixture
):
    store = CheckpointStore(tree.out / "training/checkpoints")
    store.save({"weights": torch.ones(3)})
    put(stage, models).write_bytes(b"damaged")

    assert start(tree).path is None
    assert "goes on from its checkpoint" in caplog.text

    for path in store.directory.glob("*.pt"):
        path.write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"model\.pth"):
        start(tree)


# refused ------------------------------------------------------------------------------------------


def damaged(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:5000])


def not_finite(weights: Path) -> None:
    content = torch.load(weights, weights_only=True)
    content["model"]["head.cls_score.bias"][0] = torch.nan
    torch.save(content, weights)


def damaged_config(weights: Path) -> None:
    weights.with_name("config.yaml").write_text("MODEL: [")


@pytest.mark.parametrize("listed", [False, True], ids=["found", "listed"])
@pytest.mark.parametrize(
    ("change", "config_file", "told"),
    [
        pytest.param(damaged, LIGHT, "ends early", id="damaged"),
        pytest.param(not_finite, LIGHT, r"head\.cls_score\.bias holds 1 numbers", id="NaN"),
        pytest.param(damaged_config, LIGHT, "the model is damaged", id="damaged config"),
        pytest.param(lambda _: None, OTHER_BODY, "of another model", id="another body"),
    ],
)
def test_weights_that_cannot_be_a_start(
    tree: Any, models: Path, stage: Path, change: Any, config_file: str, told: str, listed: bool
):
    weights = put(stage, models / "a")
    change(weights)

    with pytest.raises((CheckpointError, ModelError), match=rf"{models}.*{told}") as caught:
        start(tree, config_file=config_file, listed=(weights,) if listed else ())

    is_advised = "empty that folder, or set args_options: MODEL.WEIGHTS" in str(caught.value)
    assert is_advised == (not listed and "config" not in change.__name__)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        pytest.param(lambda path: None, "there is no such file", id="missing"),
        pytest.param(lambda path: path.mkdir(), "is a folder", id="folder"),
        pytest.param(lambda path: path.symlink_to(path.with_name("x")), "is a link", id="link"),
    ],
)
def test_a_listed_file_that_is_none_is_not_replaced_by_another(
    tree: Any, models: Path, stage: Path, make: Any, told: str
):
    put(stage, models / "a")
    make(models / "chosen.pth")

    words = rf"chosen\.pth: {told}.*config\.yaml lists it"
    with pytest.raises((CheckpointError, ModelError), match=words):
        start(tree, listed=(models / "chosen.pth",))


def test_another_head_on_the_same_body_is_used_in_part_and_told(
    tree: Any, models: Path, stage: Path, caplog: pytest.LogCaptureFixture
):
    put(stage, models)

    start(tree, config_file=OTHER_HEAD)

    line = next(m for m in caplog.messages if m.startswith("training: starts from"))
    assert re.search(r": (\d+) of (\d+) parameters and buffers fit, [1-9]\d* start anew", line)
    assert "MODEL.META_ARCHITECTURE RetinaNet and this training has GeneralizedRCNN" in caplog.text


def test_a_config_with_another_preprocessing_is_told(
    tree: Any, models: Path, stage: Path, caplog: pytest.LogCaptureFixture
):
    config = put(stage, models).with_name("config.yaml")
    content = yaml.safe_load(config.read_text())
    content["INPUT"]["FORMAT"] = "BGR"
    config.write_text(yaml.safe_dump(content))

    start(tree)

    told = [message for message in caplog.messages if "worth less" in message]
    assert len(told) == 1
    assert "INPUT.FORMAT BGR and this training has RGB" in told[0]


def test_without_any_weights_a_platforms_user_is_told_what_to_do(
    tree: Any, models: Path, tmp_path: Path
):
    folder = tmp_path / "no weights"
    folder.mkdir()
    (folder / "mobilenet_v2-b0353104.pth").write_bytes(b"x")

    with pytest.raises(DownloadError) as caught:
        start(tree, config_file=OTHER_BODY)

    message = str(caught.value)
    assert "detectron2://ImageNetPretrained/MSRA/R-50.pkl: not here" in message
    assert "configs/Mobile/faster_rcnn_mobilenetv2_FPN.yaml" in message
    assert 'set args_options: MODEL.WEIGHTS ""' in message
    assert f"ask the administrator to put R-50.pkl into {folder}" in message
    assert "\n" not in message
    assert len(message) < 1000


def test_no_config_is_named_whose_weights_are_not_here(tree: Any, models: Path):
    with pytest.raises(DownloadError) as caught:
        start(tree, config_file=OTHER_BODY)

    assert "choose a config_file" not in str(caught.value)
