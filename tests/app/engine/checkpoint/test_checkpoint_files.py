import collections
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from app.engine.checkpoint import read_checkpoint
from app.engine.errors import CheckpointError

WEIGHT = torch.arange(6.0).reshape(2, 3)
ARRAY = WEIGHT.numpy()


def pickled(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


def saved(tmp_path: Path, content: Any, name: str = "model.pth") -> Path:
    torch.save(content, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize(
    ("content", "naming", "heuristics", "names"),
    [
        pytest.param(
            {"model": {"a.weight": ARRAY}, "__author__": "FAIR"},
            "detectron2",
            False,
            ["a.weight"],
            id="zoo",
        ),
        pytest.param(
            {
                "model": {"stem.conv1.weight": ARRAY},
                "__author__": "torchvision",
                "matching_heuristics": True,
            },
            "detectron2",
            True,
            ["stem.conv1.weight"],
            id="zoo, names without prefix",
        ),
        pytest.param({"conv1_w": ARRAY}, "caffe2", True, ["conv1_w"], id="ImageNet"),
        pytest.param(
            {"blobs": {"conv1_w": ARRAY, "conv1_w_momentum": ARRAY}, "cfg": "text"},
            "caffe2",
            True,
            ["conv1_w"],
            id="Detectron1",
        ),
        pytest.param({"a.weight": ARRAY}, "detectron2", False, ["a.weight"], id="bare"),
    ],
)
def test_pickles(tmp_path: Path, content: Any, naming: str, heuristics: bool, names: list[str]):
    file = read_checkpoint(pickled(tmp_path, content))

    assert (file.naming, file.heuristics, list(file.model)) == (naming, heuristics, names)
    assert torch.equal(file.model[names[0]], WEIGHT)


@pytest.mark.parametrize(
    ("content", "naming", "heuristics", "names"),
    [
        pytest.param(
            {"model": {"a": WEIGHT}, "iteration": 9, "trainer": {"x": np.float64(1)}},
            "detectron2",
            False,
            ["a"],
            id="detectron2",
        ),
        pytest.param({"a.weight": WEIGHT}, "detectron2", False, ["a.weight"], id="bare"),
        pytest.param(
            {"module.a": WEIGHT, "module.b": WEIGHT}, "detectron2", False, ["a", "b"], id="parallel"
        ),
        pytest.param(
            {"model_state": {"stem.conv.weight": WEIGHT}, "epoch": 3},
            "pycls",
            True,
            ["stem.conv.weight"],
            id="pycls",
        ),
        pytest.param(
            {"layer1.0.conv1.weight": WEIGHT, "fc.weight": WEIGHT},
            "torchvision",
            True,
            ["layer1.0.conv1.weight", "fc.weight"],
            id="torchvision ResNet",
        ),
        pytest.param(
            {"features.0.0.weight": WEIGHT},
            "torchvision",
            True,
            ["features.0.0.weight"],
            id="torchvision MobileNet",
        ),
        pytest.param(
            {"state_dict": {"layer1.0.conv1.weight": WEIGHT}},
            "torchvision",
            True,
            ["layer1.0.conv1.weight"],
            id="below state_dict",
        ),
    ],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_torch_files(
    tmp_path: Path, content: Any, naming: str, heuristics: bool, names: list[str], zipped: bool
):
    path = tmp_path / "model.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    file = read_checkpoint(path)

    assert (file.naming, file.heuristics, list(file.model)) == (naming, heuristics, names)
    assert torch.equal(file.model[names[0]], WEIGHT)


def test_the_query_forces_the_heuristics(tmp_path: Path):
    path = saved(tmp_path, {"model": {"a": WEIGHT}, "iteration": 1})

    assert read_checkpoint(path.with_name(path.name + "?matching_heuristics=True")).heuristics


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin"])
def test_safetensors_are_known_by_content(tmp_path: Path, name: str):
    safetensors.torch.save_file({"a": WEIGHT}, tmp_path / name)

    assert torch.equal(read_checkpoint(tmp_path / name).model["a"], WEIGHT)


def test_old_schedule_states_do_not_stop_the_weights(tmp_path: Path):
    extra = {"milestones": collections.Counter([1, 2]), "lr": np.float64(0.1), "n": np.int64(3)}
    file = read_checkpoint(saved(tmp_path, {"model": {"a": WEIGHT}, "scheduler": extra}))

    assert file.extra["scheduler"]["n"] == 3


def test_what_is_no_weight_is_left_out(tmp_path: Path):
    file = read_checkpoint(saved(tmp_path, {"model": {"a": WEIGHT, "note": "text"}}))

    assert list(file.model) == ["a"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({}, id="empty"),
        pytest.param({"model": {}}, id="no weights"),
        pytest.param([WEIGHT], id="list"),
        pytest.param({"model": {"note": "text"}}, id="only text"),
        pytest.param(3, id="number"),
    ],
)
def test_files_without_weights_are_refused(tmp_path: Path, content: Any):
    with pytest.raises(CheckpointError, match=r"model\.pth"):
        read_checkpoint(saved(tmp_path, content))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"nowhere\.pth.*check the path"):
        read_checkpoint(tmp_path / "nowhere.pth")


def test_a_folder_is_no_checkpoint(tmp_path: Path):
    with pytest.raises(CheckpointError, match="it is a folder"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["model.pth", "model.pkl", "model.safetensors"])
def test_truncated_files_are_refused(tmp_path: Path, name: str):
    state = {f"layer{n}.weight": torch.rand(9, 7) for n in range(3)}
    whole = tmp_path / f"whole-{name}"
    if name.endswith("pth"):
        torch.save({"model": state, "iteration": 3}, whole)
    elif name.endswith("pkl"):
        whole.write_bytes(pickle.dumps({"model": {k: v.numpy() for k, v in state.items()}}))
    else:
        safetensors.torch.save_file(state, whole)
    content = whole.read_bytes()
    read_checkpoint(whole)

    path = tmp_path / name
    for length in sorted({*range(0, len(content), max(1, len(content) // 200)), len(content) - 1}):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=name):
            read_checkpoint(path)


def test_a_zip_bomb_is_refused(tmp_path: Path):
    path = saved(tmp_path, {"a": WEIGHT})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data/1", bytes(1 << 22))

    with pytest.raises(CheckpointError, match="unpacks to"):
        read_checkpoint(path)
