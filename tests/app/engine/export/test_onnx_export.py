"""Exported files, also int8's, find what the engine finds, record it, and can be used alone.

All tests are in one file, so that one test process exports once for all of them.
"""

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnxruntime.capi import onnxruntime_pybind11_state
from PIL import Image

from app.engine.data.images.reading import read_image
from app.engine.errors import (
    CheckpointError,
    ConfigError,
    DoesNotFitError,
    ExportError,
    ImageError,
    OutOfMemoryError,
)
from app.engine.export import EXPORTERS, int8, spread
from app.engine.export import onnx as onnx_export
from app.engine.export._graphs import graph_of
from app.engine.export._quantize import last_convolutions, network_nodes
from app.engine.export._write import set_metadata
from app.engine.modeling.build import build_detector
from app.engine.modeling.mask_paste import paste_masks as engine_paste
from app.engine.predictor import OnnxPredictor, Predictor
from app.engine.predictor.array_detections import paste_masks
from app.engine.predictor.onnx_card import OnnxCard
from app.engine.structures.record import ImageRecord
from app.engine.structures.size import Resizing
from verification.picture_kinds import write_picture
from verification.reliability.memory import little_memory

REPOSITORY = Path(__file__).resolve().parents[4]


def close_to(found, expected):
    assert len(found) == len(expected)
    np.testing.assert_allclose(found.scores, expected.scores.numpy(), atol=3e-4)
    np.testing.assert_allclose(found.boxes, expected.boxes.numpy(), atol=0.05)
    assert found.classes.tolist() == expected.classes.tolist()


def test_the_file_says_what_it_is_and_how_well_it_agrees(onnx_file, job):
    card = OnnxPredictor(onnx_file).card
    assert card.class_names == ("ant", "bee", "cat")
    assert (card.architecture, card.image_format, card.min_size) == ("RetinaNet", "BGR", 64)
    assert card.agreement["images"] == 3
    assert card.agreement["objects"] == 60
    assert card.agreement["matched"] >= 0.98
    assert card.agreement["max_score_difference"] <= 3e-4
    assert min(card.speed["ms_onnx_fp32"], card.speed["ms_torch_fp32"]) > 0
    assert (card.speed["images"], card.accuracy) == (3, {})  # without labelled images
    onnx.checker.check_model(onnx.load(onnx_file))


@pytest.mark.parametrize(
    ("batch_size", "streams", "threshold"), [(1, 1, None), (2, 1, 0.6), (1, 2, None)]
)
def test_a_stream_of_files_gives_the_engines_detections(
    onnx_file, job, photographs, tmp_path, batch_size, streams, threshold
):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    paths = [*photographs, broken, photographs[0], photographs[0]]
    cfg = job.cfg.clone()
    if threshold:
        cfg.defrost()
        cfg.MODEL.RETINANET.SCORE_THRESH_TEST = threshold
    model = build_detector(cfg).eval()
    model.load_state_dict(job.model.state_dict())
    expected = list(Predictor(model, cfg).detect_files(paths))
    ours = OnnxPredictor(
        onnx_file, batch_size=batch_size, streams=streams, score_threshold=threshold
    )
    found = list(ours.detect_files(paths, num_workers=1))
    assert [path for path, _ in found] == paths
    assert isinstance(found[3][1], ImageError)
    for index in (0, 1, 2, 4, 5):
        close_to(found[index][1], expected[index][1])


@pytest.mark.parametrize(("batch_size", "streams"), [(1, 1), (3, 1), (1, 2)])
def test_photographs_in_tiles_give_the_engines_detections(
    onnx_file, job, photographs, batch_size, streams
):
    tiles = {"INPUT.TILES.SIZE": 48, "INPUT.TILES.OVERLAP": 12}
    expected = list(Predictor(job.model, job.cfg.with_values(tiles)).detect_files(photographs))
    ours = OnnxPredictor(
        onnx_file, tile_size=48, tile_overlap=12, batch_size=batch_size, streams=streams
    )
    for (_, found), (_, engines) in zip(ours.detect_files(photographs), expected, strict=True):
        assert len(found) > 20  # more than in one image
        close_to(found, engines)


def test_the_tiles_of_the_training_are_the_files(onnx_file, job, photographs):
    tiled = replace(job, cfg=job.cfg.with_values({"INPUT.TILES.SIZE": 40}))
    card = onnx_export.card_of(tiled, graph_of(job.model))
    assert (card.tile_size, card.nms_thresh, card.max_detections) == (40, 0.5, 20)
    predictor = OnnxPredictor(onnx_file, tile_size=40)
    for path in photographs:  # what the export compares and calibrates with
        assert predictor.reader(path).is_uncut
        example = predictor.example(path)
        assert example.original_size == (40, 40)
        assert not example.is_uncut
    with pytest.raises(ConfigError, match="tile_overlap 48"):
        OnnxPredictor(onnx_file, tile_size=48, tile_overlap=48)


@pytest.mark.parametrize("streams", [1, 2])
def test_an_image_that_memory_is_too_small_for_costs_only_itself(
    onnx_file, tmp_path, photographs, streams
):
    """ONNX Runtime itself is refused its memory by the system."""
    large = tmp_path / "large.png"
    Image.new("RGB", (4000, 4000)).save(large)
    predictor = OnnxPredictor(onnx_file, streams=streams)
    predictor.reader = replace(predictor.reader, resizing=Resizing(0, 0))
    ((_, expected),) = predictor.detect_files([photographs[1]])
    with little_memory(400):
        found = [f for _, f in predictor.detect_files([photographs[1], large, photographs[1]])]
    assert isinstance(found[1], DoesNotFitError)
    assert "large.png: its 4000 x 4000 pixels do not fit" in str(found[1])
    for index in (0, 2):
        assert np.array_equal(found[index].boxes, expected.boxes)


def test_a_model_that_memory_is_too_small_for(onnx_file, monkeypatch):
    def refuse(*_, **__):
        raise onnxruntime_pybind11_state.RuntimeException("initialization: std::bad_alloc")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(OutOfMemoryError, match="too small for this model"):
        OnnxPredictor(onnx_file)


@pytest.fixture(scope="session")
def photographs_of_12_bits(photographs, tmp_path_factory) -> list[Path]:
    """The upper 8 of their bits are the photographs in grey."""
    folder = tmp_path_factory.mktemp("12 bits")
    for path in photographs:
        with Image.open(path) as photograph:
            values = (np.asarray(photograph.convert("L")).astype(np.uint16) << 4) + 9
        Image.fromarray(values).save(folder / path.name)
    return [folder / path.name for path in photographs]


def test_the_depth_of_the_training_is_the_files(onnx_file, job, photographs_of_12_bits):
    model = build_detector(job.cfg).eval()
    model.load_state_dict(job.model.state_dict())
    predictor = OnnxPredictor(onnx_file)
    assert (predictor.card.bits_per_sample, predictor.card.float_white) == (12, 0.0)
    assert "bits_per_sample" in predictor.card.metadata()["usage"]
    expected = Predictor(model, job.cfg).detect_files(photographs_of_12_bits)
    found = predictor.detect_files(photographs_of_12_bits, num_workers=1)
    for (_, ours), (_, theirs) in zip(found, expected, strict=True):
        assert len(ours)
        close_to(ours, theirs)


def test_a_file_of_the_first_release_says_nothing_of_depth(onnx_file):
    metadata = OnnxPredictor(onnx_file).card.metadata()
    del metadata["bits_per_sample"], metadata["float_white"]
    card = OnnxCard.from_metadata(metadata, "model.onnx")
    assert (card.bits_per_sample, card.float_white) == (0, 0.0)


def test_the_program_that_is_to_be_copied_finds_what_infer_finds(onnx_file, photographs, tmp_path):
    kinds = ("turned 6", "16 bits", "grey", "palette", "CMYK", "20:1", "tiny")
    folders = [tmp_path / str(number) for number in range(len(kinds))]
    for folder in folders:
        folder.mkdir()
    written = map(write_picture, kinds, folders)
    paths = [*photographs, *written]
    program = REPOSITORY / "deploy/detect.py"
    done = subprocess.run(
        [sys.executable, program, onnx_file, *paths, "--threshold", "0.2"],
        capture_output=True,
        text=True,
        check=True,
    )
    printed = [line.split("\t") for line in done.stdout.splitlines()]
    predictor = OnnxPredictor(onnx_file, score_threshold=0.2)
    assert len({path for path, *_ in printed}) == len(paths)
    for path, expected in predictor.detect_files(paths):
        found = [
            [float(score), *map(float, box.split())]
            for p, _, score, box in printed
            if p == str(path)
        ]
        figures = np.column_stack([expected.scores, expected.boxes])
        np.testing.assert_allclose(found, figures, atol=0.051)


def test_padding_between_images_of_a_batch_does_not_show(onnx_file, photographs):
    predictor = OnnxPredictor(onnx_file)
    # 64x85 and 64x64: padded to a common size by hand, with rubbish in the padding.
    images = [predictor.reader(photographs[0]), predictor.reader(photographs[2])]
    inputs = predictor.inputs([images[0], images[0]])
    inputs["images"][1] = 255
    inputs["images"][1, :64, :64] = images[1].pixels
    inputs["sizes"][1] = images[1].size
    inputs["original_sizes"][1] = images[1].original_size
    _, scores = predictor._session.run(["boxes", "scores"], inputs)
    (alone,) = predictor.detect_batch(images[:1])
    np.testing.assert_allclose(scores[0][: len(alone)], alone.scores, atol=1e-5)


def test_images_in_memory_and_none(onnx_file, photographs):
    predictor = OnnxPredictor(onnx_file)
    pixels = read_image(photographs[0])
    (from_memory,) = predictor.detect([pixels])
    ((_, from_file),) = predictor.detect_files(photographs[:1])
    assert from_memory.scores.tolist() == from_file.scores.tolist()
    assert predictor.detect([]) == []
    assert list(predictor.detect_files([])) == []
    assert len(OnnxPredictor(onnx_file, score_threshold=1.0).detect([pixels])[0]) == 0


def test_masks_are_pasted_as_the_engine_does():
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand((4, 1, 7, 7), generator=generator)
    boxes = torch.tensor([[2.5, 3.0, 20.2, 17.0], [0, 0, 30, 24], [28.1, 20, 30, 24], [5, 5, 6, 6]])
    expected = engine_paste(masks, boxes, (24, 30))
    found = paste_masks(masks[:, 0].numpy(), boxes.numpy(), (24, 30))
    assert (found != expected.numpy()).mean() < 1e-3


def test_a_file_that_disagrees_is_not_kept(job, onnx_file, monkeypatch, tmp_path):
    model = onnx.load(onnx_file)
    other = replace(job, directory=tmp_path)
    monkeypatch.setattr(onnx_export, "to_onnx", lambda *_args, **_kwargs: model)
    with torch.no_grad():
        other.model.head.cls_score.bias.add_(0.1)
    try:
        with pytest.raises(ExportError, match=r"only 0.0% of 60 objects agree"):
            EXPORTERS["onnx"](other)
    finally:
        with torch.no_grad():
            other.model.head.cls_score.bias.sub_(0.1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bias", [0.0, 0.1])
def test_a_model_that_is_sure_of_nothing_is_compared_by_its_guesses(
    job, onnx_file, monkeypatch, tmp_path, bias
):
    model, unsure = onnx.load(onnx_file), replace(job, model=deepcopy(job.model))
    chosen = unsure.model.detection_filter
    unsure.model.detection_filter = replace(chosen, score_thresh=0.999)
    with torch.no_grad():
        unsure.model.head.cls_score.bias.add_(bias)
    card = replace(OnnxPredictor(onnx_file).card, score_thresh=0.999)
    set_metadata(model, card.metadata())
    monkeypatch.setattr(onnx_export, "to_onnx", lambda *_args, **_kwargs: model)
    unsure = replace(unsure, directory=tmp_path)
    if bias:
        with pytest.raises(ExportError, match=r"only 0.0% of 60 objects agree"):
            EXPORTERS["onnx"](unsure)
        assert not list(tmp_path.iterdir())
    else:
        (path,) = EXPORTERS["onnx"](unsure)
        assert OnnxPredictor(path).card.agreement["objects"] == 60
        assert OnnxPredictor(path).card.score_thresh == 0.999


C4 = {"NAME": "Res5ROIHeads", "IN_FEATURES": ["res4"]}
PYRAMID = {"NAME": "StandardROIHeads", "IN_FEATURES": ["p4", "p5"]}


@pytest.mark.parametrize(
    ("heads", "batch_size"),
    [
        pytest.param(C4, 1, id="masks of crops of one map"),
        pytest.param(PYRAMID, 2, id="masks of a pyramid, two images at once"),
    ],
)
def test_two_stages_find_what_the_engine_finds(job, photographs, tmp_path, heads, batch_size):
    cfg = job.cfg.clone()
    model = cfg.MODEL
    model.META_ARCHITECTURE, model.MASK_ON = "GeneralizedRCNN", True
    if heads is C4:
        model.BACKBONE.NAME, model.RESNETS.OUT_FEATURES = "build_resnet_backbone", ["res4"]
        model.ANCHOR_GENERATOR.SIZES = [[32, 64]]
    model.ROI_HEADS.NAME = heads["NAME"]
    model.ROI_HEADS.IN_FEATURES = model.RPN.IN_FEATURES = heads["IN_FEATURES"]
    model.RPN.POST_NMS_TOPK_TEST, model.ROI_BOX_HEAD.NAME = 20, "FastRCNNConvFCHead"
    model.ROI_BOX_HEAD.NUM_FC, model.ROI_BOX_HEAD.FC_DIM = 1, 8
    model.ROI_MASK_HEAD.NAME, model.ROI_MASK_HEAD.CONV_DIM = "MaskRCNNConvUpsampleHead", 8
    torch.manual_seed(0)
    detector = build_detector(cfg).eval()
    torch.nn.init.normal_(detector.roi_heads.box_predictor.cls_score.weight, std=0.5)
    other = replace(job, model=detector, cfg=cfg, directory=tmp_path)
    (path,) = EXPORTERS["onnx"](other)
    agreement = OnnxPredictor(path).card.agreement
    assert agreement["matched"] >= 0.98
    assert agreement["mean_mask_iou"] >= 0.98
    paths = [photographs[0], photographs[0]]
    for _, found in OnnxPredictor(path, batch_size=batch_size).detect_files(paths):
        (expected,) = Predictor(detector, cfg).detect([read_image(paths[0])])
        assert len(expected) > 0
        close_to(found, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"META_ARCHITECTURE": "SemanticSegmentor"}, "not lists of boxes", id="kind"),
        pytest.param(
            {"META_ARCHITECTURE": "GeneralizedRCNN", "KEYPOINT_ON": True},
            "KEYPOINT_ON",
            id="joints",
        ),
    ],
)
def test_what_cannot_be_exported_is_refused_by_name(job, tmp_path, changes, message):
    cfg = job.cfg.clone()
    cfg.defrost()
    cfg.MODEL.ROI_HEADS.IN_FEATURES = cfg.MODEL.RPN.IN_FEATURES = ["p4", "p5"]
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    cfg.MODEL.ROI_BOX_HEAD.NUM_FC, cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 1, 8
    cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = ["p4", "p5"]
    for key, value in changes.items():
        cfg.MODEL[key] = value
    other = replace(job, model=build_detector(cfg).eval(), cfg=cfg, directory=tmp_path)
    with pytest.raises(ExportError, match=message):
        EXPORTERS["onnx"](other)


def test_views_of_an_image_are_refused(job, tmp_path):
    cfg = job.cfg.clone()
    cfg.TEST.AUG.ENABLED = True
    with pytest.raises(ExportError, match=r"TEST\.AUG"):
        EXPORTERS["onnx"](replace(job, cfg=cfg, directory=tmp_path))


@pytest.mark.parametrize("content", ["nothing", "a foreign file"])
def test_files_that_are_not_ours_are_refused(onnx_file, tmp_path, content):
    path = tmp_path / "model.onnx"
    if content == "nothing":
        path.write_bytes(b"no model")
    else:
        model = onnx.load(onnx_file)
        del model.metadata_props[:]
        onnx.save(model, path)
    with pytest.raises(CheckpointError, match=r"model\.onnx"):
        OnnxPredictor(path)


def test_detecting_imports_no_torch_and_tells_nobody(onnx_file, photographs, tmp_path):
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "import app.tasks.infer\n"
        "from app.engine.predictor import OnnxPredictor\n"
        f"found = OnnxPredictor({str(onnx_file)!r}).detect_files([Path({str(photographs[0])!r})],"
        " num_workers=1)\n"
        "assert len(next(found)[1]) == 20\n"
        "found.close()\n"
        f"tiled = OnnxPredictor({str(onnx_file)!r}, tile_size=32)\n"
        f"assert len(next(tiled.detect_files([Path({str(photographs[0])!r})]))[1]) > 20\n"
        "assert 'torch' not in sys.modules\n"
        "opened = [Path(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')]\n"
        "assert not any(file.is_socket() for file in opened if file.exists())\n"
    )
    # Not the whole environment: ONNX Runtime tells its makers nothing where CI is set.
    environment = {name: os.environ[name] for name in ("PATH", "VIRTUAL_ENV") if name in os.environ}
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env={**environment, **home}, check=True
    )
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_every_file_of_the_room_is_in_its_table():
    room = Path(onnx_export.__file__).parent
    files = {path.stem for path in room.glob("*.py") if not path.stem.startswith("_")}
    assert files == {name.replace("-", "_") for name in EXPORTERS}
    assert importlib.util.find_spec("app.engine.export.onnx") is not None


def test_onnx_is_imported_on_use():
    program = (
        "import sys, app.cli.export, app.tasks.model_forms\n"
        "assert not {'onnx', 'onnxruntime', 'onnxscript'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True)


def test_pictures_are_spread_over_the_whole_list():
    assert spread([Path(str(i)) for i in range(10)], 4) == [Path(s) for s in "0257"]
    assert spread([], 4) == []


@pytest.fixture
def labelled(job, onnx_file, photographs):
    """The job with what the float model finds surely as the truth."""
    predictor, records = OnnxPredictor(onnx_file), []
    for number, (path, found) in enumerate(predictor.detect_files(photographs)):
        records.append(
            ImageRecord(path, *found.image_size, found.boxes[:5], found.classes[:5], number)
        )
    return replace(job, validation=records)


def test_only_the_network_is_quantised(onnx_file):
    model = onnx.load(onnx_file)
    nodes = {node.name: node.op_type for node in model.graph.node}
    convolutions = [name for name, kind in nodes.items() if kind == "Conv"]
    assert set(convolutions) <= set(network_nodes(model))
    assert len(last_convolutions(model)) == 2 * 2  # scores and boxes of two levels


def test_the_loss_of_ap_is_written_beside_the_file(labelled, monkeypatch):
    monkeypatch.setattr(int8, "MAX_AP_LOSS", 100.0)
    told: list[float] = []
    path, report = EXPORTERS["int8"](replace(labelled, progress=told.append))
    # The float model on 3 images, then the first of three attempts on 3 and 3.
    assert told == pytest.approx([0.2 + 0.8 * number / 21 for number in range(1, 10)])
    accuracy = json.loads(report.read_text())
    speed = accuracy.pop("speed")
    assert min(speed["ms_onnx_int8"], speed["ms_torch_fp32"]) > 0
    assert accuracy["ap_fp32"] - accuracy["ap_int8"] == pytest.approx(accuracy["ap_loss"], abs=2e-3)
    assert "ap_loss_low" not in accuracy  # of three images
    assert (accuracy["validation_images"], accuracy["calibration_images"]) == (3, 3)
    predictor = OnnxPredictor(path)
    assert predictor.card.precision == "int8"
    assert predictor.card.accuracy == accuracy
    assert predictor.card.speed == speed
    assert any(t.data_type == onnx.TensorProto.INT8 for t in onnx.load(path).graph.initializer)
    (_, found), *_ = predictor.detect_files(labelled.images)
    assert len(found) == 20


LOSES = "cost 1.1 points of AP on 3 validation images"
UNSURE = "cannot tell whether 8-bit integers cost more than the 1 points"


@pytest.mark.parametrize(
    ("spread", "refused", "told"),
    [
        pytest.param(0.05, LOSES, "", id="surely too much"),
        pytest.param(0.5, "", UNSURE, id="cannot tell: the smallest loss"),
        pytest.param(math.inf, "", UNSURE, id="too few images"),
    ],
)
def test_a_file_that_surely_loses_too_much_is_not_kept(
    labelled, onnx_file, monkeypatch, tmp_path, caplog, spread, refused, told
):
    # Made of the same weights: not made again.
    shutil.copyfile(onnx_file, tmp_path / onnx_file.name)
    # Of boxes and masks: before, and after each attempt.
    answers = iter([(50.0, 30.0), (40.0, 30.0), (49.9, 28.9), (48.0, 30.0)])
    counted = []

    def evaluated(_path, records, *_args, on_image, **_kwargs):
        for _ in records:
            on_image()
        ap = dict(zip(("bbox", "segm"), next(answers), strict=True))
        return SimpleNamespace(ap_without=lambda _left_out: ap)

    def quantized(model, _reader, images, *, on_image, **_kwargs):
        for _ in images:
            on_image()
        return model

    def loss_intervals(before, after):
        was, ap = before.ap_without(()), after.ap_without(())
        return {t: (was[t] - ap[t] - spread, was[t] - ap[t] + spread) for t in was}

    monkeypatch.setattr(int8, "evaluated", evaluated)
    monkeypatch.setattr(int8, "quantized", quantized)
    monkeypatch.setattr(int8, "loss_intervals", loss_intervals)
    monkeypatch.setattr(int8, "speed", lambda *_args, **_kwargs: {})
    job = replace(labelled, directory=tmp_path, progress=counted.append)
    if refused:
        with pytest.raises(ExportError, match=refused):
            EXPORTERS["int8"](job)
        assert [path.name for path in tmp_path.iterdir()] == [onnx_file.name]
    else:
        path, report = EXPORTERS["int8"](job)
        accuracy = OnnxPredictor(path).card.accuracy
        assert accuracy["mask_ap_loss"] == pytest.approx(1.1)
        assert ("ap_loss_low" in accuracy) == math.isfinite(spread)
        assert told in caplog.text
        assert json.loads(report.read_text())["ap_int8"] == 49.9
    assert counted == sorted(counted)
    assert (len(counted), counted[-1]) == (21, 1.0)


def test_labelled_images_are_needed(job):
    with pytest.raises(ConfigError, match="labelled images"):
        EXPORTERS["int8"](job)
