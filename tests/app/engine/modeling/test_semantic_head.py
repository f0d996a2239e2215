import pytest
import torch

from app.engine.errors import ConfigError, DatasetError
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.semantic_head import SemSegFPNHead
from app.engine.structures.sample import Sample

SHAPES = {"p3": ShapeSpec(4, 8), "p2": ShapeSpec(4, 4), "p4": ShapeSpec(4, 16)}


def head(**changes):
    torch.manual_seed(0)
    settings = {"num_classes": 5, "conv_dim": 32, "common_stride": 4, **changes}
    return SemSegFPNHead(SHAPES, **settings)


def features(height=32, width=48):
    return {
        name: torch.rand(2, 4, height // shape.stride, width // shape.stride)
        for name, shape in SHAPES.items()
    }


def test_levels_meet_at_the_common_stride():
    assert head()(features()).shape == (2, 5, 8, 12)
    assert head().in_features == ["p2", "p3", "p4"]


def test_names_of_weights():
    names = {name.rsplit(".", 1)[0] for name in head().state_dict()}
    convs = ["p2.0", "p3.0", "p4.0", "p4.2"]
    assert names == {*convs, *(f"{conv}.norm" for conv in convs), "predictor"}
    assert "p2.0.bias" in head(norm="").state_dict()


def test_ignored_pixels_cost_nothing():
    model, maps = head(), features()
    labels = torch.randint(0, 5, (2, 32, 48))
    half = labels.clone()
    half[:, :, 24:] = 255
    assert model.loss(maps, half).item() != model.loss(maps, labels).item()
    ignored = model.loss(maps, torch.full_like(labels, 255))
    ignored.backward()
    assert ignored.item() == 0.0
    assert head(loss_weight=0.5).loss(maps, labels).item() == pytest.approx(
        model.loss(maps, labels).item() / 2
    )


def test_logits_leave_the_padding_out():
    found = head().detect(features(), [(32, 48), (20, 30)], [(64, 96), (20, 30)])
    assert [tuple(logits.shape) for logits in found] == [(5, 64, 96), (5, 20, 30)]


def test_labels_are_padded_with_ignored():
    samples = [
        Sample(torch.zeros(3, *size), size, semantic=torch.ones(size, dtype=torch.uint8))
        for size in ((20, 30), (32, 16))
    ]
    labels = head().targets(samples, 32, torch.device("cpu"))
    assert labels.shape == (2, 32, 32)
    assert (labels == 1).sum() == 20 * 30 + 32 * 16
    assert (labels == 255).sum() == 2 * 32 * 32 - 20 * 30 - 32 * 16
    with pytest.raises(DatasetError, match="no semantic labels"):
        head().targets([Sample(torch.zeros(3, 8, 8), (8, 8))], 32, torch.device("cpu"))


def test_a_map_coarser_than_the_common_stride_is_needed():
    with pytest.raises(ConfigError, match="COMMON_STRIDE"):
        head(common_stride=8)
