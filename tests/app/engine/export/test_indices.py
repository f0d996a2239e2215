"""No float reaches an index of a graph: places that are counted in floats are wrong in bfloat16."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from app.engine.export import _cells_graph
from app.engine.export._cells_graph import ConvsAtCells
from app.engine.export._indices import float_indices
from app.engine.export._two_stage_graph import _levels, _ranks
from app.engine.layers.roi_pool import assign_levels


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs.split(), [output], output, **attributes)


def to(kind):
    return {"to": getattr(TensorProto, kind)}


@pytest.mark.parametrize(
    ("nodes", "is_fault"),
    [
        pytest.param(
            [
                node("CumSum", "x axis", "counted"),
                node("Cast", "counted", "i", **to("INT64")),
                node("Gather", "x i", "y"),
            ],
            True,
            id="places counted in floats",
        ),
        pytest.param(
            [
                node("Greater", "x zero", "flags"),
                node("Cast", "flags", "ones", **to("INT64")),
                node("CumSum", "ones axis", "i"),
                node("Gather", "x i", "y"),
            ],
            False,
            id="places counted in integers, of a comparison of floats",
        ),
        pytest.param(
            [
                node("Cast", "x", "whole", **to("INT64")),
                node("Add", "whole ones2", "sum"),
                node("Unsqueeze", "sum axes", "i"),
                node("GatherND", "x i", "y"),
            ],
            True,
            id="some steps later",
        ),
        pytest.param([node("NonZero", "x", "y")], True, id="where a float is not 0"),
        pytest.param(
            [node("Cast", "x", "flags", **to("BOOL")), node("NonZero", "flags", "y")],
            False,
            id="where a flag is set",
        ),
        pytest.param(
            [
                node("Shape", "x", "shape"),
                node("Cast", "shape", "number", **to("FLOAT")),
                node("Squeeze", "number", "scalar"),
                node("Range", "zero scalar one", "y"),
            ],
            True,
            id="a length in floats",
        ),
        pytest.param(
            [node("Cast", "zero", "i", **to("INT64")), node("Gather", "x i", "y")],
            False,
            id="a constant",
        ),
        pytest.param(
            [
                helper.make_node("TopK", ["x", "two"], ["best", "i"], "topk"),
                node("Gather", "x i", "y"),
            ],
            False,
            id="places of the best",
        ),
        pytest.param(
            [
                node("Cast", "x", "w", **to("INT64")),
                helper.make_node("TopK", ["w", "two"], ["i", "_"], "topk"),
                node("Gather", "x i", "y"),
            ],
            True,
            id="the best values themselves",
        ),
    ],
)
def test_floats_behind_an_index_are_found(nodes, is_fault):
    constants = {
        "axis": np.int64(0),
        "axes": np.int64([1]),
        "zero": np.float32(0),
        "one": np.float32(1),
        "two": np.int64([2]),
        "ones2": np.int64([1, 1, 1, 1]),
    }
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    assert bool(float_indices(model)) == is_fault


def test_what_cannot_be_followed_is_a_fault():
    branch = helper.make_graph(
        [], "branch", [], [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])]
    )
    nodes = [helper.make_node("If", ["c"], ["y"], "choice", then_branch=branch, else_branch=branch)]
    graph = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [4]),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    assert any("choice" in fault for fault in float_indices(model))


def counted_in_floats(mask):
    """How cells were numbered up to November 2026: 82 boxes for 22 in OpenVINO's bfloat16."""
    flat = mask.float()
    return (flat.cumsum(0) * flat).long()


@pytest.mark.parametrize("is_old", [False, True])
def test_cells_are_counted_in_integers(is_old, monkeypatch):
    if is_old:
        monkeypatch.setattr(_cells_graph, "_places", counted_in_floats)
    graph = ConvsAtCells([nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 4, 3, padding=1)]).eval()
    x, wanted = torch.randn(2, 3, 8, 12), (torch.rand(2, 1, 8, 12) < 0.5).float()
    program = torch.onnx.export(graph, (x, wanted), dynamo=True, verbose=False, opset_version=18)
    faults = float_indices(program.model_proto)
    assert bool(faults) == is_old
    assert is_old == any(
        "CumSum" in fault or "cumsum" in fault or "mul" in fault for fault in faults
    )


def test_exported_files_have_no_float_behind_an_index(onnx_file):
    assert float_indices(onnx.load(onnx_file)) == []


def test_levels_by_comparison_are_the_poolers():
    sides = torch.cat((torch.arange(0.0, 1400.0, 0.5), torch.tensor([112.0, 224.0, 448.0])))
    boxes = torch.stack((sides * 0, sides * 0, sides, sides), dim=1)
    strides = [4, 8, 16, 32]
    assert torch.equal(_levels(boxes, strides), assign_levels(boxes, strides))


def test_ranks_are_exact_in_bfloat16():
    ranks = _ranks(6000)
    assert (ranks.diff() < 0).all()
    assert ranks.min() > 0
    assert torch.equal(ranks.to(torch.bfloat16).float(), ranks)
