"""With a damaged checkpoint or model, the one before is used, or the task ends with status 4."""

import io
import random
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from app.engine.checkpoint.store import CheckpointStore
from app.engine.errors import EngineError
from app.tasks.__main__ import run_tasks
from app.tasks.failures import told
from executor.env import load_env
from executor.errors import ExecutorError
from verification.reliability.trees import COLOURS, LIGHT, make_tree
from verification.task_folder import write_settings


def two_checkpoints(directory: Path) -> tuple[CheckpointStore, Path]:
    """A store of states 1 and 2, and the file of the second."""
    store = CheckpointStore(directory)
    for number in (1, 2):
        store.save({"number": number, "weights": torch.arange(500.0) * number})
    newest = max(directory.glob("*.pt"), key=lambda path: path.stat().st_mtime_ns)
    return store, newest


@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_damage_at_two_hundred_places_gives_the_checkpoint_before(tmp_path: Path, how: str):
    store, newest = two_checkpoints(tmp_path)
    whole = newest.read_bytes()
    rng = random.Random(0)
    for place in rng.sample(range(len(whole)), 200):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        newest.write_bytes(whole[:place] if how == "cut" else bytes(damaged))
        state = store.load()
        assert state is not None
        assert state["number"] == 1
    newest.write_bytes(whole)
    assert store.load()["number"] == 2


# models in /in/models -----------------------------------------------------------------------------


def rewritten(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        content = torch.load(path, weights_only=True)
        change(content["model"])
        torch.save(content, path)

    return rewrite


def zipped(path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model.pth", path.read_bytes())
    path.write_bytes(buffer.getvalue())


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def of(model: Callable[..., Any]) -> Callable[[Path], None]:
    settings = {"weights_backbone": None} if "detection" in model.__module__ else {}
    return lambda path: torch.save(model(weights=None, **settings).state_dict(), path)


def body_only(weights: dict[str, Any]) -> None:
    for name in [name for name in weights if not name.startswith("backbone.bottom_up.")]:
        del weights[name]


def more_classes(weights: dict[str, Any]) -> None:
    for part in ("weight", "bias"):
        weights[f"head.cls_score.{part}"] = torch.cat([weights[f"head.cls_score.{part}"]] * 2)


NAN = "head.cls_score.weight"
ALWAYS = "every task"
TO_USE = "mining and infer"
"""Where a model is unfit: fine-tuning may start from a body, and from other classes."""

UNFIT: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "NaN": (rewritten(lambda w: w[NAN].view(-1)[5].fill_(torch.nan)), NAN, ALWAYS),
    "infinite": (rewritten(lambda w: w[NAN].view(-1)[5].fill_(torch.inf)), NAN, ALWAYS),
    "zeros": (rewritten(lambda w: [v.zero_() for v in w.values()]), "every weight is 0", ALWAYS),
    "empty": (lambda p: p.write_bytes(b""), "empty", ALWAYS),
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:9000]), "ends early", ALWAYS),
    "web page": (lambda p: p.write_text("<!DOCTYPE html><html>"), "web page", ALWAYS),
    "git-lfs": (lambda p: p.write_text("version https://git-lfs.g"), "git lfs pull", ALWAYS),
    "zip of it": (zipped, "unpack it", ALWAYS),
    "folder": (folder, "is a folder", ALWAYS),
    "detector of torchvision": (
        of(torchvision.models.detection.ssdlite320_mobilenet_v3_large),
        "torchvision's SSDLite",
        ALWAYS,
    ),
    "classifier of another body": (of(torchvision.models.squeezenet1_1), "model", ALWAYS),
    "names that fit nothing": (lambda p: torch.save({"x": torch.ones(2)}, p), "none of", ALWAYS),
    "a body": (rewritten(body_only), "lacks", TO_USE),
    "classifier": (of(torchvision.models.mobilenet_v2), "lacks", TO_USE),
    "more classes": (rewritten(more_classes), "another number of classes", TO_USE),
    "damaged config": (
        lambda p: p.with_name("config.yaml").write_text("MODEL: ["),
        r"config\.yaml",
        ALWAYS,
    ),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An /in tree with an untrained model."""
    return make_tree(tmp_path_factory.mktemp("tree"), "infer", num_candidates=1).root


@pytest.mark.parametrize(
    ("name", "task"),
    [
        (name, task)
        for number, name in enumerate(UNFIT)
        for task in ("training", ("mining", "infer")[number % 2])  # which load alike
    ],
)
def test_unfit_models_end_every_task_with_status_4(
    prepared: Path, tmp_path: Path, name: str, task: str
):
    change, reason, where = UNFIT[name]
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    stage = tmp_path / "in/models/stage_a"
    files = [str(stage / file) for file in ("model.pth", "config.yaml")]
    settings = {"class_names": list(COLOURS), "image_size": 64, "num_workers": 0}
    if task == "training":
        settings |= {"config_file": LIGHT, "max_iter": 1, "pretrained_model_params": files}
        (tmp_path / "in/train-index.tsv").write_text("")  # weights are looked at before data
    else:
        settings |= {"model_params_path": files}
    env_file = write_settings(tmp_path, task, settings, task_id="t1")
    change(stage / "model.pth")

    with pytest.raises((ExecutorError, EngineError)) as caught:
        run_tasks(load_env(env_file), lambda fraction: None)

    error = told(caught.value)
    if task == "training" and where == TO_USE:
        assert error.exit_status == 3, error  # it went on to the data
        return
    assert (error.exit_status, error.code) == (4, 300004), error
    assert str(tmp_path / "in/models") in str(error)
    assert "\n" not in str(error)
    assert re.search(reason, str(error)), error
