"""The programs of deploy/ make the product's pixels and sizes, and a config that fits the file."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from PIL import Image

from app.engine.data.images.depth import Depth
from app.engine.data.loading.image_reader import ImageReader
from app.engine.structures.size import Resizing
from verification.picture_kinds import BITS, PICTURES, noise, write_picture

DEPLOY = Path(__file__).parents[2] / "deploy"
NODE = shutil.which("node")


def program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DEPLOY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


detect = program("detect")
triton_config = program("triton_config")


def about(image_format: str = "BGR", **changes: Any) -> dict[str, Any]:
    sizes = {"min_size": 40, "max_size": 90, "fixed_size": [], "size_divisibility": 32}
    depth = {"bits_per_sample": BITS, "float_white": 0.0}
    return {"image_format": image_format, "class_names": ["a", "b"], **sizes, **depth, **changes}


@pytest.mark.parametrize("image_format", ["BGR", "RGB", "L"])
@pytest.mark.parametrize("kind", PICTURES)
def test_the_program_makes_the_pixels_of_infer(
    tmp_path: Path, kind: str, image_format: str
) -> None:
    path = write_picture(kind, tmp_path)
    values = about(image_format)
    found = detect.network_input(detect.read(str(path), values), values)
    expected = ImageReader(image_format, Resizing(40, 90), Depth(BITS))(path)
    np.testing.assert_array_equal(found, expected.pixels)


@pytest.mark.parametrize(
    ("top", "white"),
    [
        pytest.param(1.0, 0.0, id="up to 1"),
        pytest.param(200.0, 0.0, id="up to 255"),
        pytest.param(3.0, 4.0, id="white is known"),
    ],
)
def test_floats(tmp_path: Path, top: float, white: float) -> None:
    path = tmp_path / "floats.tiff"
    values = np.linspace(-0.1, top, 32 * 60, dtype=np.float32).reshape(32, 60)
    Image.fromarray(values).save(path)
    said = about(float_white=white)
    found = detect.network_input(detect.read(str(path), said), said)
    expected = ImageReader("BGR", Resizing(40, 90), Depth(0, white))(path)
    np.testing.assert_array_equal(found, expected.pixels)


SIZES = [(480, 640), (20, 400), (400, 20), (1, 3000), (427, 640), (333, 500), (2, 3), (40, 40)]
CARDS = [
    pytest.param({"min_size": 800, "max_size": 1333}, id="detectron2"),
    pytest.param({"min_size": 0}, id="not resized"),
    pytest.param({"fixed_size": [300, 320]}, id="stretched"),
]


def resizing(said: dict[str, Any]) -> Resizing:
    return Resizing(said["min_size"], said["max_size"], tuple(said["fixed_size"]) or None)


@pytest.mark.parametrize("changes", CARDS)
def test_the_program_resizes_to_the_sizes_of_infer(changes: dict[str, Any]) -> None:
    said = about(**changes)
    for height, width in SIZES:
        found = detect.network_size(width, height, said)
        assert found[::-1] == resizing(said)((height, width))


def in_node(program: str, *arguments: str) -> str:
    """What the JavaScript prints, in which `detect` is the module of the web page."""
    assert NODE is not None
    module = (DEPLOY / "web/detect.mjs").as_uri()
    text = f"import * as detect from '{module}'; import fs from 'node:fs';\n{program}"
    command = [NODE, "--input-type=module", "-e", text, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(NODE is None, reason="node is not installed")
@pytest.mark.parametrize("changes", CARDS)
def test_the_page_resizes_to_the_sizes_of_infer(changes: dict[str, Any]) -> None:
    said = about(**changes)
    text = json.dumps([[width, height] for height, width in SIZES])
    found = json.loads(
        in_node(
            f"const about = {json.dumps(said)};"
            f"const found = {text}.map(([w, h]) => detect.networkSize(w, h, about));"
            "console.log(JSON.stringify(found));"
        )
    )
    assert [tuple(size[::-1]) for size in found] == [resizing(said)(size) for size in SIZES]


@pytest.mark.skipif(NODE is None, reason="node is not installed")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param((32, 60), (48, 90), id="larger"),
        pytest.param((64, 97), (20, 31), id="smaller"),
        pytest.param((20, 400), (5, 90), id="20:1"),
        pytest.param((2, 3), (40, 60), id="tiny"),
        pytest.param((1, 300), (1, 90), id="narrow"),
        pytest.param((40, 40), (40, 40), id="the same"),
    ],
)
def test_the_page_resizes_as_pillow(
    tmp_path: Path, old: tuple[int, int], new: tuple[int, int]
) -> None:
    picture = noise(*old)
    (tmp_path / "rgb").write_bytes(picture.tobytes())
    sizes = f"{old[1]}, {old[0]}, {new[1]}, {new[0]}"
    in_node(
        f"const rgb = detect.resize(fs.readFileSync(process.argv[1]), {sizes});"
        "fs.writeFileSync(process.argv[2], rgb);",
        str(tmp_path / "rgb"),
        str(tmp_path / "resized"),
    )
    expected = picture.resize(new[::-1], Image.Resampling.BILINEAR)
    assert (tmp_path / "resized").read_bytes() == expected.tobytes()


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    """A file with the interface of exported ones: its two "objects" are the input's own figures."""
    tensors = {
        "images": (TensorProto.UINT8, ["N", "H", "W", 3]),
        "sizes": (TensorProto.INT64, ["N", 2]),
        "original_sizes": (TensorProto.INT64, ["N", 2]),
        "score_threshold": (TensorProto.FLOAT, []),
        "boxes": (TensorProto.FLOAT, ["N", "D", 4]),
        "scores": (TensorProto.FLOAT, ["N", "D"]),
        "classes": (TensorProto.INT64, ["N", "D"]),
    }
    info = {n: helper.make_tensor_value_info(n, kind, dims) for n, (kind, dims) in tensors.items()}
    node = helper.make_node
    constants = [
        helper.make_tensor("row", TensorProto.INT64, [1], [1]),
        helper.make_tensor("ratio", TensorProto.FLOAT, [], [1 / 255]),
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
    ]
    nodes = [
        node("Concat", ["original_sizes", "sizes"], ["pair"], axis=1),  # a box: the two sizes
        node("Unsqueeze", ["pair", "row"], ["rows"]),
        node("Cast", ["rows"], ["boxes"], to=TensorProto.FLOAT),
        node("Cast", ["images"], ["levels"], to=TensorProto.FLOAT),
        node("ReduceMean", ["levels", "axes"], ["mean"], keepdims=0),
        node("Mul", ["mean", "ratio"], ["score"]),
        node("Unsqueeze", ["score", "row"], ["scores"]),
        node("Cast", ["scores"], ["zeros"], to=TensorProto.BOOL),
        node("Cast", ["zeros"], ["classes"], to=TensorProto.INT64),
    ]
    names = list(info.values())
    graph = helper.make_graph(nodes, "echo", names[:4], names[4:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    values = {name: json.dumps(value) for name, value in about("RGB").items()}
    helper.set_model_props(model, {**values, "usage": "words"})
    path = tmp_path / "echo.onnx"
    onnx.save(model, path)
    return path


def test_the_program_from_file_to_objects(echo: Path, tmp_path: Path) -> None:
    path = write_picture("turned 6", tmp_path)
    session, said = detect.open_model(str(echo))
    assert said["class_names"] == ["a", "b"]
    ((name, score, box),) = detect.detect(session, said, detect.read(str(path), said), 0.3)
    assert (name, box) == ("b", [60.0, 32.0, 75.0, 40.0])  # upright: 32 wide, 60 high
    assert score == pytest.approx(0.245, abs=0.01)  # noise, and black padding


def test_tritons_config_names_every_tensor_of_the_file(echo: Path) -> None:
    text = triton_config.config(str(echo))
    session = onnxruntime.InferenceSession(str(echo))
    for tensor in (*session.get_inputs(), *session.get_outputs()):
        assert text.count(f'name: "{tensor.name}"') == 1
    assert 'name: "images"\n    data_type: TYPE_UINT8\n    dims: [-1, -1, -1, 3]' in text
    assert "dims: [ 1 ]\n    reshape: { shape: [ ] }" in text
    assert "max_batch_size: 0" in text
