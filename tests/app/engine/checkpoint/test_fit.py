"""Weights of another model, and weights that are not finite, are refused by name."""

import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from app.engine.checkpoint import load_weights
from app.engine.checkpoint.load import check_weights
from app.engine.errors import CheckpointError
from app.engine.layers.norm import FrozenBatchNorm2d

State = dict[str, Tensor]


def detector(
    *,
    depth: int = 4,
    width: int = 3,
    classes: int = 2,
    norm: Any = nn.BatchNorm2d,
    masks: bool = False,
) -> nn.Module:
    """Names as in a detector of detectron2: a body of blocks, neck, head."""
    torch.manual_seed(0)
    model = nn.Module()
    model.backbone = nn.Module()
    model.backbone.bottom_up = nn.Module()
    model.backbone.bottom_up.stem = nn.Conv2d(3, width, 3, bias=False)
    blocks = []
    for _ in range(depth):
        block = nn.Module()
        block.conv1 = nn.Conv2d(width, width, 1, bias=False)
        block.conv1.norm = norm(width)
        blocks.append(block)
    model.backbone.bottom_up.res2 = nn.ModuleList(blocks)
    model.backbone.fpn_lateral2 = nn.Conv2d(width, 2, 1)
    model.roi_heads = nn.Module()
    model.roi_heads.box_predictor = nn.Module()
    model.roi_heads.box_predictor.cls_score = nn.Linear(4, classes + 1)
    if masks:
        model.roi_heads.mask_head = nn.Linear(4, 4)
    return model


def written(path: Path, state: Any, **extra: Any) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    elif path.suffix == ".pkl":
        arrays = {name: value.numpy() for name, value in state.items()}
        path.write_bytes(pickle.dumps({"model": arrays, "__author__": "x", **extra}))
    else:
        torch.save({"model": state, **extra}, path)
    return path


# numbers ------------------------------------------------------------------------------------------

LAST = "roi_heads.box_predictor.cls_score.bias"
MEAN = "backbone.bottom_up.res2.3.conv1.norm.running_mean"
VARIANCE = "backbone.bottom_up.res2.3.conv1.norm.running_var"
STEM = "backbone.bottom_up.stem.weight"


def put(key: str, value: float) -> Callable[[State], None]:
    def change(state: State) -> None:
        state[key].view(-1)[-1] = value

    return change


@pytest.mark.parametrize("suffix", ["pth", "pkl", "safetensors"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(put(LAST, torch.nan), rf"{LAST} holds 1 numbers that are NaN", id="NaN"),
        pytest.param(put(STEM, torch.inf), STEM, id="infinite"),
        pytest.param(put(STEM, -torch.inf), STEM, id="minus infinite"),
        pytest.param(put(MEAN, torch.nan), MEAN, id="NaN in a running mean"),
        pytest.param(put(VARIANCE, torch.inf), VARIANCE, id="infinite running variance"),
        pytest.param(put(VARIANCE, -0.5), "negative variance", id="negative variance"),
        pytest.param(
            lambda state: [value.zero_() for value in state.values()],
            "every weight is 0",
            id="zeros everywhere",
        ),
    ],
)
def test_bad_numbers(tmp_path: Path, change: Callable[[State], object], told: str, suffix: str):
    state = detector().state_dict()
    load_weights(detector(), written(tmp_path / f"good.{suffix}", state)).require_whole()
    change(state)
    model = detector()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    with pytest.raises(CheckpointError, match=rf"bad\.{suffix}: .*{told}"):
        load_weights(model, written(tmp_path / f"bad.{suffix}", state))

    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_finite_numbers_may_have_a_sum_that_is_not(tmp_path: Path):
    state = detector().state_dict()
    state[STEM].fill_(3e38)
    model = detector()

    load_weights(model, written(tmp_path / "m.pth", state)).require_whole()

    assert torch.equal(model.state_dict()[STEM], state[STEM])


def test_every_bad_weight_counts(tmp_path: Path):
    state = detector().state_dict()
    for key in (STEM, MEAN, LAST):
        put(key, torch.nan)(state)

    with pytest.raises(CheckpointError, match="2 more weights"):
        load_weights(detector(), written(tmp_path / "m.pth", state))


@pytest.mark.parametrize(
    "convert",
    [
        pytest.param(lambda value: value.half() * 1e5, id="half precision that is infinite"),
        pytest.param(lambda value: value.double().fill_(1e300), id="too large for float32"),
        pytest.param(lambda value: torch.full_like(value, torch.nan).bfloat16(), id="bfloat16"),
    ],
)
def test_numbers_count_as_the_model_would_hold_them(tmp_path: Path, convert: Any):
    state = detector().state_dict()
    state[STEM] = convert(torch.ones_like(state[STEM]))

    with pytest.raises(CheckpointError, match=STEM):
        load_weights(detector(), written(tmp_path / "m.pth", state))


def test_the_average_is_looked_at_where_it_is_used(tmp_path: Path):
    good, bad = detector().state_dict(), detector().state_dict()
    put(LAST, torch.nan)(bad)
    path = tmp_path / "m.pth"

    torch.save({"model": bad, "model_ema": good}, path)
    load_weights(detector(), path)
    torch.save({"model": good, "model_ema": bad}, path)
    with pytest.raises(CheckpointError, match=LAST):
        load_weights(detector(), path)


def test_weights_of_whole_numbers_are_no_weights(tmp_path: Path):
    state = detector().state_dict()
    state[STEM] = state[STEM].to(torch.int8)

    with pytest.raises(CheckpointError, match=r"whole numbers \(torch\.int8\)"):
        load_weights(detector(), written(tmp_path / "m.pth", state))


def test_counters_and_empty_weights_are_no_matter(tmp_path: Path):
    model = detector()
    model.counter = nn.Parameter(torch.zeros(0, 3))
    state = model.state_dict()
    assert any(name.endswith("num_batches_tracked") for name in state)

    load_weights(model, written(tmp_path / "m.pth", state)).require_whole()


# another model ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "told"),
    [
        pytest.param(detector(depth=9), r"its body has 25 more weights.*res2\.4", id="deeper"),
        pytest.param(detector(depth=2), r"lacks others, such as .*res2\.2", id="less deep"),
        pytest.param(detector(width=5), r"stem.weight is \(5, 3, 3, 3\) in the file", id="wider"),
        pytest.param(nn.Sequential(nn.Linear(3, 3)), "none of its 2 weights fits", id="foreign"),
    ],
)
def test_another_body_is_refused_as_a_start(tmp_path: Path, other: nn.Module, told: str):
    path = written(tmp_path / "m.pth", other.state_dict())

    for use in (load_weights, check_weights):
        with pytest.raises(CheckpointError, match=told):
            use(detector(), path)


@pytest.mark.parametrize("prefix", ["backbone.bottom_up.", ""])
def test_a_body_may_be_used_without_its_last_stages(tmp_path: Path, prefix: str):
    """As EfficientNet's by models of one map: layers in a row, whose last ones are not needed."""
    model = nn.Module()
    model.backbone = nn.Module()
    model.backbone.bottom_up = nn.Module()
    layers = [nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)) for _ in range(6)]
    model.backbone.bottom_up.features = nn.ModuleList(layers[:3])
    whole = nn.ModuleDict({"features": nn.ModuleList(layers)}).state_dict()
    path = tmp_path / "m.pth"

    load_weights(model, written(path, {f"{prefix}{n}": v for n, v in whole.items()}))

    longer = {f"{prefix}features.2.{n}.weight": torch.ones(2, 2) for n in (2, 3)}
    with pytest.raises(CheckpointError, match=r"2 more weights.*features\.2\.2"):
        load_weights(
            model, written(path, {**{f"{prefix}{n}": v for n, v in whole.items()}, **longer})
        )


@pytest.mark.parametrize("given", ["bottom_up", "names without prefix"])
def test_a_body_alone_is_a_start_but_no_model(tmp_path: Path, given: str):
    prefix = "backbone.bottom_up."
    state = {n: v for n, v in detector().state_dict().items() if n.startswith(prefix)}
    if given != "bottom_up":
        state = {n.removeprefix(prefix): v for n, v in state.items()}
    report = load_weights(detector(), written(tmp_path / "m.pth", state))

    with pytest.raises(CheckpointError, match=r"lacks 4 weights .*fpn_lateral2"):
        report.require_whole()


def test_another_number_of_classes_is_a_start_but_no_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    path = written(tmp_path / "m.pth", detector(classes=7).state_dict())

    report = load_weights(detector(), path, class_names=["cat", "dog"])

    assert "does not name its classes and has another number of them" in caplog.text
    with pytest.raises(CheckpointError, match=r"cls_score.weight is \(8, 4\) in the file"):
        report.require_whole()


@pytest.mark.parametrize(
    ("extra", "classes", "told"),
    [
        pytest.param({}, 2, "are taken to be those of this task", id="not named"),
        pytest.param(
            {"class_names": ["dog", "bird"]},
            2,
            "kept ['dog']; new ['cat']; dropped ['bird']",
            id="named",
        ),
        pytest.param(
            {"class_names": ["a", "b", "c"]}, 5, "do not fit its 3 class names", id="wrong names"
        ),
        pytest.param({"class_names": [1, 2]}, 2, "are taken to be", id="no names of text"),
    ],
)
def test_what_becomes_of_the_classes_is_told(
    tmp_path: Path, extra: Any, classes: int, told: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    path = written(tmp_path / "m.pth", detector(classes=classes).state_dict(), **extra)

    load_weights(detector(), path, class_names=["cat", "dog"])

    assert told in caplog.text


def test_the_files_own_names_go_before_those_of_its_package(tmp_path: Path):
    path = written(tmp_path / "m.pth", detector().state_dict(), class_names=["dog", "cat"])
    model = detector()

    load_weights(model, path, class_names=["cat", "dog"], file_class_names=["cat", "dog"])

    rows = detector().roi_heads.box_predictor.cls_score.weight
    assert torch.equal(model.roi_heads.box_predictor.cls_score.weight, rows[[1, 0, 2]])


@pytest.mark.parametrize(
    ("names", "outcome"),
    [
        pytest.param(["cat", "dog"], None, id="the same"),
        pytest.param(["Cat", " dog"], None, id="small differences"),
        pytest.param([], None, id="none"),
        pytest.param(["dog", "cat"], "in the order dog, cat", id="another order"),
        pytest.param(["kitty", "dog"], "they are called", id="another name"),
    ],
)
def test_the_order_of_classes_must_be_the_configs(
    tmp_path: Path, names: list[str], outcome: str | None, caplog: pytest.LogCaptureFixture
):
    path = written(tmp_path / "m.pth", detector().state_dict(), class_names=names)
    report = check_weights(detector(), path)
    if outcome is not None and "order" in outcome:
        with pytest.raises(CheckpointError, match=outcome):
            report.require_whole(["cat", "dog"])
        return
    report.require_whole(["cat", "dog"])
    assert (outcome or "") in caplog.text
    assert bool(caplog.records) == bool(outcome)


def test_more_layers_of_a_part_are_of_another_model_but_a_part_more_is_not(tmp_path: Path):
    state = detector(masks=True).state_dict()
    path = written(tmp_path / "m.pth", state)
    check_weights(detector(), path).require_whole()

    state["roi_heads.box_predictor.more.weight"] = torch.ones(2, 2)
    report = check_weights(detector(), written(path, state))
    with pytest.raises(CheckpointError, match=r"1 layers .*box_predictor\.more\.weight"):
        report.require_whole()


def test_images_of_another_number_of_channels_are_a_start(tmp_path: Path):
    state = detector().state_dict()
    state[STEM] = state[STEM][:, :1].contiguous()

    report = load_weights(detector(), written(tmp_path / "m.pth", state))

    assert [key for key, _, _ in report.mismatched] == [STEM]


@pytest.mark.parametrize("norm", [FrozenBatchNorm2d, nn.BatchNorm2d])
def test_missing_statistics(tmp_path: Path, norm: Any):
    """detectron2 gives frozen norms 0 and exactly 1; a norm that learns lacks what it learned."""
    state = {n: v for n, v in detector(norm=norm).state_dict().items() if "running" not in n}
    model = detector(norm=norm)
    report = load_weights(model, written(tmp_path / "m.pth", state))

    found = model.backbone.bottom_up.res2[0].conv1.norm
    assert found.running_var.tolist() == [1, 1, 1]
    assert found.running_mean.tolist() == [0, 0, 0]
    if norm is FrozenBatchNorm2d:
        report.require_whole()
    else:
        with pytest.raises(CheckpointError, match=r"lacks 8 weights .*running_mean"):
            report.require_whole()


def test_checking_changes_nothing(tmp_path: Path):
    path = written(tmp_path / "m.pth", {n: v + 1 for n, v in detector().state_dict().items()})
    model = detector()

    report = check_weights(model, path)

    assert len(report.loaded) == report.total
    assert torch.equal(
        model.backbone.bottom_up.stem.weight, detector().backbone.bottom_up.stem.weight
    )
