"""Whole runs through the bridge: from an /in tree to the files that /out must hold."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from app.engine.errors import CheckpointError
from app.tasks.__main__ import run_tasks
from executor.errors import ConfigError, DatasetError, ExecutorError, ModelError, ObjectTypeError

RESULTS = ("infer-result.json", "result.tsv")


class Progress:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.fractions: list[float] = []

    def __call__(self, fraction: float) -> None:
        self.fractions.append(fraction)


def stage_files(tree: Any) -> list[str]:
    return [str(path) for path in (tree.root / "in/models").rglob("*") if path.is_file()]


def test_training_leaves_self_sufficient_stages(
    tree: Any, train_settings: dict[str, Any], caplog: Any
) -> None:
    caplog.set_level("INFO")
    tree.write_env(run_training=True)
    tree.write_config(**train_settings, eval_period=1)
    progress = Progress()
    run_tasks(tree.env, progress)

    result = yaml.safe_load((tree.out / "models/result.yaml").read_text())
    assert result["best_stage_name"] in result["model_stages"]
    for name, stage in result["model_stages"].items():
        assert 0 <= stage["mAP"] <= 1
        assert sorted(stage["files"]) == ["config.yaml", "model.pth", "model_card.md"]
        assert all((tree.out / "models" / name / file).is_file() for file in stage["files"])
    assert list((tree.out / "tensorboard").rglob("*tfevents*"))
    assert progress.fractions == sorted(progress.fractions)
    assert progress.fractions[-1] == 1.0
    best = result["best_stage_name"]
    assert f"best model: {best}, mAP {result['mAP']:.4f}" in caplog.messages[-1]

    for name, stage in result["model_stages"].items():
        card = (tree.out / "models" / name / "model_card.md").read_text()
        assert f"as in result.yaml): {stage['mAP']:.4f}." in card
        assert f"Model card: iteration {int(name.removeprefix('iter_'))}\n" in card
    counts = [line.split() for line in caplog.messages if "set: objects kept" in line]
    assert f"| objects kept | {counts[0][-1]} | {counts[1][-1]} |" in card


def test_mining_and_infer_in_one_run(with_model: Any) -> None:
    with_model.write_env(run_mining=True, run_infer=True)
    with_model.write_config(
        model_params_path=stage_files(with_model), conf_threshold=0.0, image_size=64
    )
    progress = Progress()
    run_tasks(with_model.env, progress)

    candidates = (with_model.root / "in/candidate-index.tsv").read_text().splitlines()
    ranked = [line.split("\t") for line in (with_model.out / "result.tsv").read_text().splitlines()]
    assert sorted(name for name, _ in ranked) == sorted(candidates)
    scores = [float(score) for _, score in ranked]
    assert scores == sorted(scores, reverse=True)
    found = json.loads((with_model.out / "infer-result.json").read_text())["detection"]
    assert set(found) == {Path(name).name for name in candidates}
    boxes = [entry for image in found.values() for entry in image["boxes"]]
    assert boxes
    for entry in boxes:
        assert entry["class_name"] in ("red box", "blue box")
        assert all(isinstance(value, int) for value in entry["box"].values())
    assert progress.fractions == sorted(progress.fractions)


def test_a_model_trained_on_crops_is_used_in_tiles(
    tree: Any, train_settings: dict[str, Any], caplog: Any
) -> None:
    caplog.set_level("INFO")
    tree.write_env(run_training=True)
    tree.write_config(**train_settings, tile_size=40, tile_overlap=10)
    run_tasks(tree.env, Progress())
    assert "6 of 6 training images have a side above 40 px; a pass has " in caplog.text

    shutil.copytree(tree.out / "models", tree.root / "in/models", dirs_exist_ok=True)
    candidates = (tree.root / "in/candidate-index.tsv").read_text().splitlines()
    tree.write_env(run_mining=True, run_infer=True)
    for settings, words in (
        ({}, "tiles of 40 px that share at least 10 px, as the model was trained"),
        ({"tile_size": 50}, "tiles of 50 px that share at least 12 px, as tile_size asks"),
    ):
        caplog.clear()
        tree.write_config(conf_threshold=0.0, image_size=64, **settings)
        run_tasks(tree.env, Progress())
        assert caplog.text.count(words) == 2
        assert len((tree.out / "result.tsv").read_text().splitlines()) == len(candidates)
        found = json.loads((tree.out / "infer-result.json").read_text())["detection"]
        assert all(len(image["boxes"]) > 100 for image in found.values())  # not those of one view


@pytest.mark.parametrize(
    "algorithm", ["random", "least_confidence", "margin", "entropy", "aldd", "cald"]
)
def test_every_mining_algorithm_ranks_every_candidate(
    with_model: Any, algorithm: str, caplog: Any
) -> None:
    broken = with_model.root / "in/assets/broken.jpg"
    broken.write_bytes(b"<html>")
    index = with_model.root / "in/candidate-index.tsv"
    index.write_text(f"{broken}\n{index.read_text()}")
    with_model.write_env(run_mining=True)
    with_model.write_config(
        model_params_path=stage_files(with_model), mining_algorithm=algorithm, image_size=64
    )
    run_tasks(with_model.env, Progress())
    ranked = (with_model.out / "result.tsv").read_text().splitlines()
    assert len(ranked) == 4
    if algorithm != "random":
        assert ranked[-1].startswith(str(broken))
        assert f"1 x unreadable image, for example {broken}: the image cannot" in caplog.text


def _as_12_bits(path: Path) -> None:
    """Grey with 12 bits in 16, of which the upper 8 are the picture."""
    with Image.open(path) as picture:
        values = np.asarray(picture.convert("L")).astype(np.uint16) * 16 + 11
    Image.fromarray(values).save(path)


def _as_8_bits(path: Path) -> None:
    with Image.open(path) as picture:
        values = np.asarray(picture) >> 4
    Image.fromarray(values.astype(np.uint8)).save(path)


def test_the_depth_of_the_training_images_is_that_of_the_model(
    tree: Any, train_settings: dict[str, Any], caplog: Any
) -> None:
    caplog.set_level("INFO")
    for path in (tree.root / "in/assets").iterdir():
        _as_12_bits(path)
    tree.write_env(run_training=True)
    tree.write_config(**train_settings)
    run_tasks(tree.env, Progress())
    (told,) = [line for line in caplog.messages if "INPUT.BITS_PER_SAMPLE" in line]
    assert "6 of 6 images looked at have more than 8 bits" in told
    assert "INPUT.BITS_PER_SAMPLE 12" in told
    best = yaml.safe_load((tree.out / "models/result.yaml").read_text())["best_stage_name"]
    stage = tree.out / "models" / best
    assert yaml.safe_load((stage / "config.yaml").read_text())["INPUT"]["BITS_PER_SAMPLE"] == 12

    caplog.clear()
    shutil.copytree(stage, tree.root / "in/models" / best)
    tree.write_env(run_mining=True, run_infer=True)
    tree.write_config(
        model_params_path=stage_files(tree),
        conf_threshold=0.0,
        image_size=64,
        mining_algorithm="entropy",
    )
    results = []
    for change in (None, _as_8_bits):
        for path in (tree.root / "in/assets").glob("cand*"):
            if change is not None:
                change(path)
        run_tasks(tree.env, Progress())
        results.append([(tree.out / name).read_bytes() for name in RESULTS])
        for path in tree.out.iterdir():
            if path.is_file():
                path.unlink()
    assert results[0] == results[1]
    assert "more than 8 bits" not in caplog.text


def test_settings_without_effect_are_told(with_model: Any, caplog: Any) -> None:
    with_model.write_env(run_mining=True)
    with_model.write_config(mining_algorithm="random", aggregate="max", empty_policy="low")
    run_tasks(with_model.env, Progress())
    assert "aggregate max has no effect on random" in caplog.text
    assert "empty_policy" not in caplog.text


def test_fine_tuning_with_other_classes(with_model: Any, train_settings: dict[str, Any]) -> None:
    with_model.write_env(run_training=True)
    with_model.write_config(
        **train_settings,
        class_names=["blue box", "green box", "red box"],
        pretrained_model_params=stage_files(with_model),
    )
    run_tasks(with_model.env, Progress())
    result = yaml.safe_load((with_model.out / "models/result.yaml").read_text())
    config = yaml.safe_load(
        (with_model.out / "models" / result["best_stage_name"] / "config.yaml").read_text()
    )
    assert config["MODEL"]["CLASS_NAMES"] == ["blue box", "green box", "red box"]


def test_a_resumed_training_still_knows_where_it_began(
    with_model: Any, train_settings: dict[str, Any]
) -> None:
    with_model.write_env(run_training=True)
    (start,) = (path for path in stage_files(with_model) if path.endswith(".pth"))
    for max_iter in (2, 3):
        with_model.write_config(
            **{**train_settings, "max_iter": max_iter}, pretrained_model_params=[start]
        )
        run_tasks(with_model.env, Progress())
        card = with_model.out / f"models/iter_{max_iter:07d}/model_card.md"
        assert f"| started from | {start} |" in card.read_text()


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        pytest.param({"config_file": "configs/nope.yaml"}, ConfigError, "nope", id="config file"),
        pytest.param({"args_options": "SOLVER.GAMA 1"}, ConfigError, "GAMMA", id="misspelt key"),
        pytest.param(
            {"args_options": "MODEL.WEIGHTS /nowhere/model.pth"},
            ModelError,
            "/nowhere/model.pth",
            id="weights that are not there",
        ),
        pytest.param(
            {"class_names": ["a", "b", "c"], "object_type": 4},
            ObjectTypeError,
            "finds boxes only",
            id="masks",
        ),
        pytest.param(
            {"config_file": "configs/COCO-Detection/fast_rcnn_R_50_FPN_1x.yaml"},
            ObjectTypeError,
            "computed beforehand",
            id="proposals that nobody has",
        ),
    ],
)
def test_a_wrong_setting_ends_the_run_with_one_sentence(
    tree: Any,
    train_settings: dict[str, Any],
    settings: dict[str, Any],
    error: type[ExecutorError],
    words: str,
) -> None:
    tree.write_env(run_training=True)
    tree.write_config(**{**train_settings, **settings})
    with pytest.raises(Exception, match=words) as caught:
        run_tasks(tree.env, Progress())
    from app.tasks.failures import contract_error

    assert isinstance(contract_error(caught.value), error)


def test_empty_training_index(tree: Any, train_settings: dict[str, Any]) -> None:
    tree.write_env(run_training=True)
    tree.write_config(**train_settings)
    tree.write_index("train-index.tsv", [])
    with pytest.raises(DatasetError, match="empty"):
        run_tasks(tree.env, Progress())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"config_file": "configs/nope.yaml"}, "nope", id="no such config file"),
        pytest.param({"object_type": 4}, "finds boxes only", id="another kind of object"),
        pytest.param({"args_options": "MODEL.WEIGHTS no.pkl"}, "no.pkl", id="no such weights"),
        pytest.param(
            {"pretrained_model_params": ["/etc/passwd"]}, "must lie in", id="a model elsewhere"
        ),
    ],
)
def test_a_wrong_model_is_refused_before_data_is_read(
    tree: Any, train_settings: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    tree.write_env(run_training=True)
    tree.write_config(**{**train_settings, **settings})
    tree.write_index("train-index.tsv", [])
    with pytest.raises((ExecutorError, CheckpointError), match=words):
        run_tasks(tree.env, Progress())


def test_no_candidates_is_a_complete_result(with_model: Any) -> None:
    with_model.write_index("candidate-index.tsv", [])
    with_model.write_env(run_mining=True, run_infer=True)
    with_model.write_config(model_params_path=stage_files(with_model))
    run_tasks(with_model.env, Progress())
    assert (with_model.out / "result.tsv").read_text() == ""
    assert json.loads((with_model.out / "infer-result.json").read_text()) == {"detection": {}}


def test_masks_from_a_box_model_are_refused(with_model: Any) -> None:
    with_model.write_env(run_infer=True)
    with_model.write_config(model_params_path=stage_files(with_model), object_type=4)
    with pytest.raises(ObjectTypeError, match="boxes only"):
        run_tasks(with_model.env, Progress())
