"""Names and shapes of every weight, and what is trained, for every config detectron2 ships."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from app.engine.config import load_config
from app.engine.modeling.build import build_detector
from verification.parity.architectures import architecture
from verification.parity.differences import NOT_APPLICABLE
from verification.parity.golden import load

ROOT = Path(__file__).parents[4]


def _read(name):
    return json.loads(gzip.decompress((ROOT / "tests" / "parity" / name).read_bytes()))


# The second file: what detectron2 can only build with a stand-in for its compiled extension.
GOLDEN = _read("state_dict_keys.json.gz") | _read("state_dict_keys_deform.json.gz")


def _cases():
    seen = set()
    for name, entry in GOLDEN.items():
        if "error" in entry:
            continue
        # Schedules of one architecture differ in nothing that this test looks at.
        weights = json.dumps([entry["sd"], entry["trainable"]])
        marks = [pytest.mark.slow] if weights in seen else []
        seen.add(weights)
        yield pytest.param(name, marks=marks, id=name)


def _build(name):
    path = (ROOT / "configs" / name).with_suffix(".yaml")
    cfg = load_config(path, ["MODEL.DEVICE", "meta"])
    with torch.device("meta"):
        return build_detector(cfg)


@pytest.mark.parametrize("name", list(_cases()))
def test_keys_and_shapes(name):
    expected = GOLDEN[name]
    model = _build(name)
    state = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert state == expected["sd"]
    assert list(state) == list(expected["sd"])
    parameters = list(model.parameters())
    assert sum(p.numel() for p in parameters) == expected["params"]
    assert sum(p.numel() for p in parameters if p.requires_grad) == expected["trainable"]
    assert model.size_divisibility == expected.get("div", model.size_divisibility)


def test_what_was_not_recorded():
    assert {name for name, entry in GOLDEN.items() if "error" in entry} == set(NOT_APPLICABLE)


def test_every_architecture_has_a_recording():
    recorded = set()
    parity = ROOT / "tests" / "parity"
    for path in (*parity.glob("*.npz"), *(parity / "variants").glob("*.npz")):
        golden = load(path)
        config = (ROOT / "configs" / golden.config).with_suffix(".yaml")
        recorded.add(architecture(load_config(config, [str(opt) for opt in golden.opts])))
    configs = GOLDEN.keys() - NOT_APPLICABLE.keys()
    wanted = {
        architecture(load_config((ROOT / "configs" / name).with_suffix(".yaml")))
        for name in configs
    }
    assert wanted - recorded == set()
