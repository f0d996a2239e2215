"""The operations of exported graphs give the same values as those they replace."""

import time
from itertools import pairwise

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from app.engine.export._cells_graph import ConvsAtCells
from app.engine.export._integers import for_integers, with_integers_kept
from app.engine.export._job import Steps, time_passing


@pytest.mark.parametrize("share", [0.0, 0.05, 1.0])
def test_convolutions_at_cells_are_those_of_the_whole_map(share):
    torch.manual_seed(0)
    convs = [nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 5, 3, padding=1), nn.Conv2d(5, 4, 3, 1, 1)]
    x, wanted = torch.randn(2, 3, 7, 9), (torch.rand(2, 1, 7, 9) < share).float()
    wanted[0, 0, 0, 8] = 1.0
    with torch.inference_mode():
        rows, places = ConvsAtCells(convs)(x, wanted)
        whole = convs[2](convs[1](convs[0](x).relu()).relu())
    assert len(rows) == 1 + wanted.sum()
    assert torch.equal(places > 0, wanted[:, 0] > 0)
    torch.testing.assert_close(rows[places], whole.permute(0, 2, 3, 1) * wanted.permute(0, 2, 3, 1))


def run(model, **inputs):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)


def model_of(nodes, constants, x, **metadata):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, metadata)
    return model


@pytest.mark.parametrize("activation", ["Relu", "Sigmoid"])
@pytest.mark.parametrize(("side", "channels"), [(7, 3), (3, 3), (3, 1)])
def test_a_stem_sees_four_pixels_as_one(side, channels, activation):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 8, 12, channels)).astype(np.float32)
    constants = {
        "w": rng.normal(size=(5, channels, side, side)).astype(np.float32),
        "b": rng.normal(size=5).astype(np.float32),
    }
    nodes = [
        helper.make_node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "Conv", ["first", "w", "b"], ["c"], "c", strides=[2, 2], pads=[side // 2] * 4
        ),
        helper.make_node(activation, ["c"], ["a"]),
        helper.make_node("Abs", ["a"], ["y"]),
    ]
    model = model_of(nodes, constants, x, size_divisibility="32")
    changed = for_integers(model)
    (weight,) = [t for t in changed.graph.initializer if t.name == "stem/weight"]
    assert tuple(weight.dims[:2]) == (10, 4 * channels)
    np.testing.assert_allclose(run(changed, x=x)[0], run(model, x=x)[0], atol=1e-5)
    (odd,) = {len(for_integers(model_of(nodes, constants, x, size_divisibility="2")).graph.node)}
    assert odd == len(nodes)


def test_resizing_by_copies():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
    resize = helper.make_node("Resize", ["x", "", "s"], ["z"], nearest_mode="floor", **attributes)
    nodes = [resize, helper.make_node("Relu", ["z"], ["y"])]
    model = model_of(nodes, {"s": np.float32([1, 1, 2, 2])}, x, size_divisibility="32")
    changed = for_integers(model)
    assert "Resize" not in {node.op_type for node in changed.graph.node}
    assert np.array_equal(run(changed, x=x)[0], run(model, x=x)[0])


def test_copies_are_made_of_integers():
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    parameters = ["scale", "zero"]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *parameters], ["q"]),
        helper.make_node("DequantizeLinear", ["q", *parameters], ["d"]),
        helper.make_node("Pad", ["d", "pads"], ["p"]),
        helper.make_node("Gather", ["p", "index"], ["g"]),
        helper.make_node("QuantizeLinear", ["g", *parameters], ["q2"]),
        helper.make_node("DequantizeLinear", ["q2", *parameters], ["d2"]),
        helper.make_node("Exp", ["d2"], ["y"]),
    ]
    constants = {
        "scale": np.float32(0.02),
        "zero": np.uint8(120),
        "pads": [1, 0, 0, 0],
        "index": [3, 0, 1],
    }
    model = model_of(nodes, constants, x)
    changed = with_integers_kept(model)
    kinds = [node.op_type for node in changed.graph.node]
    assert kinds == ["QuantizeLinear", "Pad", "Gather", "DequantizeLinear", "Exp"]
    assert np.array_equal(run(changed, x=x)[0], run(model, x=x)[0])


def test_time_passes_while_a_block_cannot_tell():
    told = []
    with time_passing(told.append, 0.1, period=0.01):
        time.sleep(0.1)
    count = len(told)
    time.sleep(0.03)
    assert len(told) == count > 1
    assert all(0 < before <= after < 1 for before, after in pairwise(told))


def test_steps_start_where_they_are_told():
    told = []
    step = Steps(told.append, 2, start=0.5)
    step()
    step()
    assert told == [0.75, 1.0]
