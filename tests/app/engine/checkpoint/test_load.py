import logging
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from app.engine.checkpoint import (
    detectron2_yaml,
    load_weights,
    read_checkpoint,
    save_detectron2,
)
from app.engine.checkpoint.load import grouped
from app.engine.config import CfgNode, get_config
from app.engine.config.defaults import DETECTRON2
from app.engine.errors import CheckpointError
from app.engine.layers.norm import FrozenBatchNorm2d


def test_exact_names_fill_only_themselves(
    tmp_path: Path, blocks: nn.Module, blocks_state: dict[str, Tensor]
):
    torch.save({"model": blocks_state}, tmp_path / "m.pth")
    before = blocks.state_dict()["block1.layer1.weight"].clone()

    report = load_weights(blocks, tmp_path / "m.pth")

    state = blocks.state_dict()
    assert torch.equal(state["block1.layer1.weight"], before)
    assert torch.equal(state["res.layer2.weight"], blocks_state["res.layer2.weight"])
    assert report.missing == ("block1.layer1.weight", "block1.layer1.bias")
    assert report.unused == ("layer1.bias", "layer1.weight")


@pytest.mark.parametrize("kind", ["pth", "pkl", "safetensors", "parallel"])
def test_heuristics_fill_everything(
    tmp_path: Path, blocks: nn.Module, blocks_state: dict[str, Tensor], kind: str
):
    path = tmp_path / f"m.{kind}"
    if kind == "pkl":
        arrays = {name: tensor.numpy() for name, tensor in blocks_state.items()}
        path.write_bytes(pickle.dumps({"model": arrays, "__author__": "x"}))
    elif kind == "safetensors":
        safetensors.torch.save_file(blocks_state, path)
    else:
        prefix = "module." if kind == "parallel" else ""
        torch.save({f"{prefix}{name}": value for name, value in blocks_state.items()}, path)

    report = load_weights(blocks, path.with_name(path.name + "?matching_heuristics=True"))

    for loaded, stored in zip(blocks.state_dict().values(), blocks_state.values(), strict=True):
        assert torch.equal(loaded, stored)
    assert not report.missing
    assert not report.unused


def test_names_that_fit_nowhere_get_the_heuristics_anyway(tmp_path: Path):
    model = nn.ModuleDict({"body": nn.Linear(2, 2)})
    torch.save({"weight": torch.ones(2, 2)}, tmp_path / "m.pth")

    assert load_weights(model, tmp_path / "m.pth").loaded == ("body.weight",)


def test_half_precision_is_cast(tmp_path: Path):
    model = nn.Linear(2, 2)
    torch.save({"weight": torch.ones(2, 2).half(), "bias": torch.ones(2)}, tmp_path / "m.pth")
    load_weights(model, tmp_path / "m.pth")

    assert model.weight.dtype == torch.float32
    assert torch.equal(model.weight, torch.ones(2, 2))


def test_the_report_speaks_as_detectron2_does(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 3))
    state = {
        "0.weight": torch.ones(2, 2),
        "0.bias": torch.ones(2),
        "2.weight": torch.ones(5, 2),
        "2.bias": torch.ones(3),
        "other.weight": torch.ones(1),
        "other.bias": torch.ones(1),
        "proposal_generator.anchor_generator.cell_anchors.0": torch.ones(1),
    }
    torch.save({"model": state}, tmp_path / "m.pth")

    with caplog.at_level(logging.INFO):
        report = load_weights(model, tmp_path / "m.pth")

    assert report.mismatched == (("2.weight", (5, 2), (3, 2)),)
    assert (
        "Skip loading parameter '2.weight' to the model due to incompatible shapes: (5, 2) in the "
        "checkpoint but (3, 2) in the model! You might want to double check if this is expected."
    ) in caplog.messages
    assert (
        "Some model parameters or buffers are not found in the checkpoint:\n1.{bias, weight}"
    ) in caplog.messages
    assert (
        "The checkpoint state_dict contains keys that are not used by the model:\n"
        "  other.{bias, weight}"
    ) in caplog.messages
    assert "Loaded 3 of 6 parameters and buffers." in caplog.messages


def test_a_model_to_predict_with_must_be_whole(tmp_path: Path, blocks: nn.Module):
    state = blocks.state_dict()
    torch.save({"model": state}, tmp_path / "whole.pth")
    torch.save(
        {"model": {"layer2.weight": state["layer2.weight"], "layer2.bias": torch.ones(5)}},
        tmp_path / "part.pth",
    )

    load_weights(blocks, tmp_path / "whole.pth").require_whole()
    with pytest.raises(CheckpointError, match=r"part\.pth: lacks 5 weights .*block1\.layer1"):
        load_weights(blocks, tmp_path / "part.pth").require_whole()


def test_a_file_of_another_model_is_refused(tmp_path: Path, blocks: nn.Module):
    torch.save({"model": {"zzz": torch.ones(1)}}, tmp_path / "m.pth")

    with pytest.raises(CheckpointError, match="none of its 1 weights fits"):
        load_weights(blocks, tmp_path / "m.pth")


def caffe2_body() -> nn.Module:
    block = nn.ModuleDict({"conv1": nn.Conv2d(1, 2, 1, bias=False)})
    block["conv1"].norm = FrozenBatchNorm2d(2)
    return nn.ModuleDict({"backbone": nn.ModuleDict({"res2": nn.ModuleList([block])})})


@pytest.mark.parametrize("folded", [True, False], ids=["folded norms", "whole norms"])
def test_caffe2_norms(tmp_path: Path, folded: bool, caplog: pytest.LogCaptureFixture):
    blobs = {"res2_0_branch2a_w": torch.ones(2, 1, 1, 1).numpy()}
    parts = ("s", "b") if folded else ("gamma", "beta", "running_mean", "running_var")
    for number, part in enumerate(parts):
        blobs[f"res2_0_branch2a_bn_{part}"] = torch.full((2,), 2.0 + number).numpy()
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(blobs, protocol=2))
    model = caffe2_body()

    report = load_weights(model, tmp_path / "m.pkl")

    norm = model["backbone"]["res2"][0]["conv1"].norm
    assert norm.weight.tolist() == [2.0, 2.0]
    assert norm.bias.tolist() == [3.0, 3.0]
    expected = [0.0, 1.0] if folded else [4.0, 5.0]  # exactly, as detectron2 fills them
    assert [norm.running_mean[0].item(), norm.running_var[0].item()] == expected
    assert not report.missing
    assert "not found" not in caplog.text


def test_names_are_grouped_by_module():
    keys = ["a.b.weight", "a.b.bias", "a.c.weight", "alone"]

    assert grouped(keys) == ["a.b.{bias, weight}", "a.c.weight", "alone"]


def test_detectron2_gets_its_files_back(tmp_path: Path, blocks: nn.Module):
    path = tmp_path / "model_final.pth"
    save_detectron2(blocks, path, iteration=7, class_names=["cat"])

    content = torch.load(path, weights_only=True)
    assert list(content["model"]) == list(blocks.state_dict())
    assert content["iteration"] == 7

    file = read_checkpoint(path)
    assert not file.heuristics
    assert file.extra["class_names"] == ["cat"]
    with torch.no_grad():
        blocks.layer2.weight.zero_()
    assert not load_weights(blocks, path).missing
    assert torch.equal(blocks.layer2.weight, file.model["layer2.weight"])


def test_detectron2_gets_only_its_own_keys(tmp_path: Path):
    (tmp_path / "config.yaml").write_text(detectron2_yaml(get_config()))
    theirs = CfgNode(DETECTRON2).clone()

    theirs.merge_from_file(tmp_path / "config.yaml")

    assert theirs == CfgNode(DETECTRON2)
