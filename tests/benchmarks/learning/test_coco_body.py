import torch

from app.engine.config import get_config
from app.engine.modeling.backbones.mobilenet import build_mobilenetv2_backbone
from benchmarks.learning.coco_body import BLOCKS, body_weights

NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def _graph(state):
    """Constants of a graph as large as the network's weights; values are numbers of their own."""
    start, constants = "FeatureExtractor/MobilenetV2", {}
    parts = ["Conv"]
    for block in range(BLOCKS):
        name = f"expanded_conv_{block}" if block else "expanded_conv"
        wide = ("expand", "depthwise") if block else ("depthwise",)
        parts += [f"{name}/{part}" for part in (*wide, "project")]
    kernels = [value for value in state.values() if value.ndim == 4]
    for part, kernel in zip(parts, kernels, strict=True):
        is_depthwise = part.endswith("depthwise")
        name = f"{start}/{part}/{'depthwise_weights' if is_depthwise else 'weights'}"
        constants[name] = kernel.permute(*((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0)))
        for place, field in enumerate(NORM):
            constants[f"{start}/{part}/BatchNorm/{field}"] = torch.full((len(kernel),), place + 1.0)
    return constants


def test_every_weight_of_the_body_is_found_in_the_graph():
    cfg = get_config()
    cfg.MODEL.MOBILENETV2.OUT_FEATURES = ["mb5"]
    body = build_mobilenetv2_backbone(cfg)
    state = body.state_dict()
    found = dict(body_weights(_graph(state)))
    assert found.keys() == {name for name in state if not name.endswith("num_batches_tracked")}
    for name, value in found.items():
        assert value.shape == state[name].shape
        assert value.ndim == 1 or torch.equal(value, state[name])
    assert found["features.0.1.weight"].unique().item() == 1
    assert found["features.0.1.bias"].unique().item() == 2
    assert found["features.0.1.running_mean"].unique().item() == 3
    torch.testing.assert_close(found["features.0.1.running_var"].unique().item(), 4.00099)
