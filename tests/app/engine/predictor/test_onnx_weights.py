"""An exported file whose weights are not finite is refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from app.engine.errors import CheckpointError
from app.engine.predictor.onnx_weights import check_weights


def written(path: Path, *initializers: TensorProto) -> Path:
    node = helper.make_node("Relu", ["x"], ["y"])
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("x", "y")]
    graph = helper.make_graph([node], "graph", values[:1], values[1:], list(initializers))
    onnx.save(helper.make_model(graph), path)
    return path


def raw(values: object, kind: type = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.array(values, kind), "head.weight")


def listed(values: list[float]) -> TensorProto:
    return helper.make_tensor("head.weight", TensorProto.FLOAT, [len(values)], values)


@pytest.mark.parametrize(
    ("tensor", "good"),
    [
        pytest.param(raw([1.0, 2.0]), True, id="finite"),
        pytest.param(raw(np.inf), True, id="a number to compare with"),
        pytest.param(raw(np.zeros((0, 4))), True, id="empty"),
        pytest.param(raw([1, 2], np.int64), True, id="whole numbers"),
        pytest.param(listed([1.0, -2.5, 3.0]), True, id="listed"),
        pytest.param(raw([1.0, np.nan]), False, id="NaN"),
        pytest.param(raw([[1.0, 2.0], [-np.inf, 0.0]]), False, id="infinite"),
        pytest.param(raw([1.0, np.nan], np.float16), False, id="half precision"),
        pytest.param(raw([1.0, np.nan], np.float64), False, id="double precision"),
        pytest.param(listed([1.0, float("nan"), 3.0]), False, id="NaN, listed"),
    ],
)
def test_numbers(tmp_path: Path, tensor: TensorProto, good: bool):
    path = written(tmp_path / "model.onnx", raw([0.5, 0.5]), tensor)
    if good:
        check_weights(path)
        return
    with pytest.raises(CheckpointError, match=r"model\.onnx: head\.weight holds numbers"):
        check_weights(path)


def test_what_is_no_onnx_file_is_left_to_onnx_runtime(tmp_path: Path):
    whole = written(tmp_path / "model.onnx", raw(np.ones(300))).read_bytes()
    for content in (b"", b"<html>", b"\xff" * 50, whole[:200], whole[7:]):
        (tmp_path / "model.onnx").write_bytes(content)
        check_weights(tmp_path / "model.onnx")
    check_weights(tmp_path / "nowhere.onnx")
