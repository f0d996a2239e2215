"""Which file and which library is used."""

import hashlib
from types import SimpleNamespace

import pytest

from app.engine.config import get_config
from app.engine.errors import CheckpointError, ObjectKindError
from app.engine.predictor import onnx_predictor
from app.engine.trained import torch_model
from app.engine.trained.opening import ModelPlace, Opening, open_model

WEIGHTS = b"weights"


class FakeOnnx:
    """Stands for `OnnxPredictor`: the file's content is the digest of its weights, or a fault."""

    def __init__(self, path, **settings):
        content = path.read_text()
        if content == "broken":
            raise CheckpointError(f"{path}: broken")
        self.settings, self.grid = settings, None
        self.card = SimpleNamespace(
            class_names=("ant", "bee"), has_masks=False, precision="fp32", weights_sha256=content
        )


def write_config(folder, body):
    (folder / "config.yaml").write_text(f"MODEL: {{BACKBONE: {{NAME: {body}}}}}\n")


@pytest.fixture
def models(tmp_path, monkeypatch):
    """/in/models with weights, and torch's side faked."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "model.pth").write_bytes(WEIGHTS)
    write_config(folder, "build_retinanet_mobilenetv2_fpn_backbone")
    monkeypatch.setattr(onnx_predictor, "OnnxPredictor", FakeOnnx)
    monkeypatch.setattr(
        torch_model,
        "open_torch_model",
        lambda *_args, **_kwargs: SimpleNamespace(
            predictor="torch", class_names=["ant", "bee"], cfg=get_config()
        ),
    )
    return folder


def opened(models, **settings):
    opening = Opening(score_threshold=0.3, batch_size=4, num_images=9, **settings)
    return open_model(ModelPlace(models), opening).predictor


def test_without_an_exported_file_torch_is_used(models):
    assert opened(models) == "torch"


@pytest.mark.parametrize(
    ("settings", "used"),
    [
        pytest.param({}, "onnx", id="by itself"),
        pytest.param({"precision": "fp32"}, "onnx", id="fp32"),
        pytest.param({"precision": "bf16"}, "torch", id="bf16"),
        pytest.param({"backend": "torch"}, "torch", id="torch"),
        pytest.param({"backend": "onnxruntime", "image_size": 64}, "onnx", id="asked for"),
    ],
)
def test_the_exported_file_of_the_weights_beside_it(models, settings, used):
    (models / "model.onnx").write_text(hashlib.sha256(WEIGHTS).hexdigest())
    predictor = opened(models, **settings)
    assert ("torch" if predictor == "torch" else "onnx") == used
    if used == "onnx":
        assert predictor.settings["score_threshold"] == 0.3
        assert predictor.settings["image_size"] == settings.get("image_size", 0)


def test_bodies_that_torch_computes_faster_are_left_to_it(models):
    (models / "model.onnx").write_text(hashlib.sha256(WEIGHTS).hexdigest())
    write_config(models, "build_resnet_fpn_backbone")
    assert opened(models) == "torch"
    assert isinstance(opened(models, backend="onnxruntime"), FakeOnnx)


@pytest.mark.parametrize("content", ["digest of other weights", "broken"])
def test_an_exported_file_that_does_not_fit_is_passed_over(models, content):
    (models / "model.onnx").write_text(content)
    assert opened(models) == "torch"


def test_a_broken_file_that_was_asked_for_is_an_error(models):
    (models / "model.onnx").write_text("broken")
    with pytest.raises(CheckpointError, match="broken"):
        opened(models, backend="onnxruntime")


def test_eight_bits_are_looked_for_by_name(models):
    with pytest.raises(
        CheckpointError, match=r"no model\.int8\.onnx; train with export set to int8"
    ):
        opened(models, precision="int8")
    (models / "model.int8.onnx").write_text("whatever weights")
    assert isinstance(opened(models, precision="int8"), FakeOnnx)


def test_masks_are_only_found_by_models_with_masks(models):
    (models / "model.onnx").write_text(hashlib.sha256(WEIGHTS).hexdigest())
    assert opened(models, kind="masks") == "torch"
    with pytest.raises(ObjectKindError, match="boxes only"):
        opened(models, kind="masks", backend="onnxruntime")
