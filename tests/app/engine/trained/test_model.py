"""`load_model` opens what users name, and `detect` takes pictures in every form."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.engine import EngineError, Found, load_model
from app.engine.errors import CheckpointError, ConfigError, ImageError
from app.engine.trained import model as model_module

SIZES = [(40, 60), (64, 64), (31, 90)]


@pytest.fixture(scope="module")
def model(boxes_model):
    return load_model(boxes_model, lowest_score=0.0)


@pytest.fixture
def files(tmp_path):
    """Noise of different sizes."""
    rng, paths = np.random.default_rng(0), []
    for number, size in enumerate(SIZES):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(paths[-1])
    return paths


def same(one: Found, other: Found) -> bool:
    return one.image_size == other.image_size and np.array_equal(one.boxes, other.boxes)


def test_importing_the_engine_is_light():
    code = (
        "import sys, app.engine; heavy = {'torch', 'numpy', 'PIL'} & set(sys.modules);"
        "assert not heavy, heavy; assert not hasattr(app.engine, 'nothing');"
        "from app.engine import load_model; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[4])


@pytest.mark.parametrize(
    "named", ["", "best", "best/model.pth", "result.yaml"], ids=["models", "stage", "file", "yaml"]
)
def test_a_model_is_found_by_each_of_its_places(boxes_model, named, files, model):
    if named == "result.yaml":
        with pytest.raises(CheckpointError, match=r"result\.yaml: no file of weights .* give one"):
            load_model(boxes_model / named)
        return
    opened = load_model(str(boxes_model / named), lowest_score=0.0)
    assert opened.class_names == ["cat", "dog"]
    assert same(opened.detect(files[0], threshold=0.0), model.detect(files[0], threshold=0.0))


@pytest.mark.parametrize(
    ("form", "channels"),
    [
        pytest.param(lambda path: str(path), "RGB", id="path as text"),
        pytest.param(lambda path: path.read_bytes(), "RGB", id="content"),
        pytest.param(Image.open, "RGB", id="Pillow"),
        pytest.param(lambda path: Image.open(path).convert("RGBA"), "RGB", id="transparency"),
        pytest.param(lambda path: np.array(Image.open(path)), "RGB", id="array"),
        pytest.param(lambda path: np.array(Image.open(path))[..., ::-1], "BGR", id="BGR, a view"),
        pytest.param(
            lambda path: torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1),
            "RGB",
            id="tensor",
        ),
        pytest.param(
            lambda path: torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1).flip(0),
            "BGR",
            id="BGR tensor",
        ),
    ],
)
def test_every_form_of_a_picture_gives_the_same(model, files, form, channels):
    expected = model.detect(files[0], threshold=0.0)
    assert len(expected) == 5
    assert same(model.detect(form(files[0]), threshold=0.0, channels=channels), expected)


def test_grey_arrays_are_pictures_of_equal_channels(model):
    grey = np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)
    expected = model.detect(np.stack([grey] * 3, axis=2), threshold=0.0)
    assert same(model.detect(grey, threshold=0.0), expected)
    assert same(model.detect(grey[:, :, None], threshold=0.0), expected)


def test_a_list_gives_a_list_in_its_order_and_batches_change_nothing(boxes_model, model, files):
    pictures = [files[0], np.array(Image.open(files[1])), files[2].read_bytes()] * 2
    batched = load_model(boxes_model, lowest_score=0.0, batch_size=4)
    for opened in (model, batched):
        found = opened.detect(pictures, threshold=0.0)
        for one, path in zip(found, files * 2, strict=True):
            expected = model.detect(path, threshold=0.0)
            assert one.image_size == expected.image_size
            np.testing.assert_allclose(one.boxes, expected.boxes, atol=0.05)
    assert model.detect([]) == []
    assert len(model.detect((files[0],))) == 1


def test_files_are_looked_at_as_they_come_and_bad_ones_are_told(model, files, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    stream = model.detect_files(iter([files[0], tmp_path / "bad.jpg", str(files[1])]), threshold=0)
    (first, one), (second, error), (third, other) = stream
    assert (first, second, third) == (files[0], tmp_path / "bad.jpg", files[1])
    assert same(one, model.detect(files[0], threshold=0.0))
    assert same(other, model.detect(files[1], threshold=0.0))
    assert isinstance(error, ImageError)


def test_the_threshold_leaves_out_lower_scores(model, files):
    scores = model.detect(files[0], threshold=0.0).scores
    middle = float(scores[2])
    kept = model.detect(files[0], threshold=middle).scores
    assert kept.tolist() == scores[scores >= middle].tolist()
    assert len(model.detect(files[0])) == 0  # an untrained model's scores are near 0.01


def test_a_picture_is_looked_at_as_shown(model, tmp_path):
    image = Image.new("RGB", (90, 30))
    exif = image.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.save(tmp_path / "turned.jpg", exif=exif)
    for form in (tmp_path / "turned.jpg", Image.open(tmp_path / "turned.jpg")):
        found = model.detect(form)
        assert found.image_size == (90, 30)
        assert found.draw(min_side=0).size == (30, 90)


@pytest.mark.parametrize(
    ("picture", "options", "message"),
    [
        pytest.param("missing.jpg", {}, r"missing\.jpg: .*No such file", id="missing file"),
        pytest.param(Path(), {}, "is a folder; give its images", id="folder"),
        pytest.param(b"", {}, "a file of 0 bytes: the image cannot be read", id="no bytes"),
        pytest.param(b"text", {}, "a file of 4 bytes: the image cannot be read", id="text"),
        pytest.param(7, {}, "a int is no picture; give a path", id="number"),
        pytest.param(
            np.zeros((4, 4, 3)), {}, r"float64; give uint8 .* \(array \* 255\)", id="floats"
        ),
        pytest.param(np.zeros((3, 4, 9), np.uint8), {}, "transpose", id="channels first"),
        pytest.param(np.zeros((4, 9, 2), np.uint8), {}, "4 x 9 x 2; give", id="two channels"),
        pytest.param(np.zeros((2, 4, 4, 3), np.uint8), {}, r"give list\(array\)", id="batch"),
        pytest.param(np.zeros((0, 4, 3), np.uint8), {}, "no pixels", id="no pixels"),
        pytest.param(np.zeros((4, 4, 3), np.uint8), {"channels": "rgb"}, "RGB or BGR", id="order"),
        pytest.param(torch.zeros(3, 4, 4), {}, r"float32; give uint8", id="tensor of floats"),
        pytest.param(torch.zeros(9, 4, 3), {}, r"give \(3, height, width\)", id="tensor's sides"),
        pytest.param(torch.zeros(1, 3, 4, 4), {}, r"give list\(tensor\)", id="batch of tensors"),
        pytest.param(
            Image.new("I;16", (4, 4)), {}, "more than 8 bits; give the path", id="16 bits"
        ),
        pytest.param("x", {"threshold": 30}, "threshold is 30; give a number from 0", id="percent"),
        pytest.param("x", {"threshold": "a"}, "threshold is 'a'", id="text as threshold"),
    ],
)
def test_what_is_no_picture_is_told_in_one_sentence(model, picture, options, message):
    for given in (picture, [picture]):
        with pytest.raises(EngineError, match=message) as caught:
            model.detect(given, **options)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"device": "gpu"}, "give auto, cpu, cuda", id="unknown device"),
        pytest.param({"device": "cuda:3"}, "no GPU can be used here; give cpu", id="no GPU"),
        pytest.param({"precision": "fp8"}, "choose one of fp32", id="precision"),
        pytest.param({"image_size": -1}, "image_size is -1", id="image size"),
        pytest.param({"tile_size": 8}, "a size of 8 pixels is too small", id="tile size"),
        pytest.param({"tile_overlap": -1}, "tile_overlap is -1", id="tile overlap"),
        pytest.param({"batch_size": 1.5}, r"batch_size is 1\.5", id="batch size"),
    ],
)
def test_wrong_options(boxes_model, monkeypatch, options, message):
    monkeypatch.setattr(model_module, "may_have_gpu", lambda: False)
    with pytest.raises(ConfigError, match=message):
        load_model(boxes_model, **options)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("nowhere", "no such file or folder", id="nothing"),
        pytest.param("empty", "no weights found", id="empty folder"),
        pytest.param("note.txt", "no file of weights", id="another file"),
        pytest.param("model.onnx", "ONNX Runtime cannot open", id="no ONNX file"),
        pytest.param("bare/model.pth", r"no config\.yaml lies beside", id="weights alone"),
    ],
)
def test_no_model(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare").mkdir()
    for file in ("note.txt", "model.onnx", "bare/model.pth"):
        (tmp_path / file).write_text("x")
    with pytest.raises(CheckpointError, match=message):
        load_model(tmp_path / name)


def test_a_smaller_image_size_changes_what_the_network_gets(boxes_model, files):
    found = [
        load_model(boxes_model, lowest_score=0.0, image_size=side).detect(files[0], threshold=0.0)
        for side in (0, 32)
    ]
    assert not np.array_equal(found[0].boxes, found[1].boxes)


def test_tiles_are_cut_from_arrays_and_files_alike(boxes_model, files):
    whole, cut = (load_model(boxes_model, lowest_score=0.0, tile_size=side) for side in (0, 32))
    found = cut.detect(files[1], threshold=0.0)
    assert len(found) > len(whole.detect(files[1], threshold=0.0))
    assert same(cut.detect(np.array(Image.open(files[1])), threshold=0.0), found)
    ((_, streamed),) = cut.detect_files([files[1]], threshold=0.0)
    assert same(streamed, found)
