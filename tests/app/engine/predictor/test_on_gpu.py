"""Detection on a fake GPU finds what a CPU finds, in every precision and batch size."""

import numpy as np
import pytest
import torch

from app.engine.config import load_config
from app.engine.errors import ImageError
from app.engine.modeling.build import build_detector
from app.engine.predictor import Predictor
from verification.launches.fake_gpu import fake_gpu
from verification.parity import scenes
from verification.parity.check import CONFIGS
from verification.parity.variants import VARIANTS
from verification.parity.weights import fill

SIZES = [(96, 128), (128, 96), (96, 128), (100, 140), (90, 128)]
IMAGES = [scenes.image(*size, seed=seed) for seed, size in enumerate(SIZES)]


def predictor(name, device, *, precision="fp32", score_thresh=None, batch_size=4, more=()):
    recipe = VARIANTS[name]
    opts = ["MODEL.DEVICE", device, "INPUT.MIN_SIZE_TEST", 96, "INPUT.MAX_SIZE_TEST", 160, *more]
    if score_thresh is not None:
        opts += ["MODEL.RETINANET.SCORE_THRESH_TEST", score_thresh]
        opts += ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", score_thresh]
    path = (CONFIGS / recipe.config).with_suffix(".yaml")
    cfg = load_config(path, [str(o) for o in (*recipe.opts, *opts)])
    torch.manual_seed(0)
    model = build_detector(cfg)
    fill(model, overrides=recipe.overrides)
    return Predictor(model, cfg, batch_size=batch_size, precision=precision, consume=True)


@pytest.mark.parametrize("name", ["retinanet", "mask", "keypoint"])
def test_a_gpu_finds_what_a_cpu_finds(name):
    expected = predictor(name, "cpu").detect(IMAGES)
    with fake_gpu():
        found = predictor(name, "cuda").detect(IMAGES)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.boxes.device.type == "cpu"
        assert ours.image_size == theirs.image_size
        torch.testing.assert_close(ours.scores, theirs.scores, atol=1e-4, rtol=0)
        torch.testing.assert_close(ours.boxes, theirs.boxes, atol=1e-2, rtol=0)


@pytest.mark.parametrize("name", ["retinanet", "mask", "keypoint"])
@pytest.mark.parametrize("views", [False, True])
def test_a_gpu_finds_what_a_cpu_finds_in_tiles(name, views):
    tiles = ["INPUT.TILES.SIZE", 96, "INPUT.TILES.OVERLAP", 32, "TEST.AUG.ENABLED", views]
    more = [*tiles, "TEST.AUG.MIN_SIZES", "(96,)", "TEST.AUG.MAX_SIZE", 160]
    expected = predictor(name, "cpu", more=more).detect(IMAGES[:2])
    with fake_gpu():
        found = predictor(name, "cuda", more=more).detect(IMAGES[:2])
    for ours, theirs in zip(found, expected, strict=True):
        assert len(theirs)
        assert ours.boxes.device.type == "cpu"
        torch.testing.assert_close(ours.boxes, theirs.boxes, atol=1e-2, rtol=0)
        if name == "mask":
            assert ours.masks.shape == (len(ours), *ours.image_size)
        if name == "keypoint":
            assert ours.keypoints.shape == theirs.keypoints.shape


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("retinanet", "bf16"),
        ("retinanet", "fp16"),
        ("mask_deform_v2", "bf16"),
        ("keypoint", "bf16"),
        ("panoptic", "fp16"),
    ],
)
def test_half_precision(name, precision):
    with fake_gpu():
        expected = predictor(name, "cuda").detect(IMAGES)
        found = predictor(name, "cuda", precision=precision).detect(IMAGES)
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours) == pytest.approx(len(theirs), abs=4)
        # Random weights give hundreds of nearly equal scores: boxes change places.
        assert ours.scores.mean().item() == pytest.approx(theirs.scores.mean().item(), abs=0.05)


@pytest.mark.parametrize("name", ["retinanet", "keypoint", "panoptic", "mask_augmented"])
def test_nothing_found(name):
    with fake_gpu():
        found = predictor(name, "cuda", precision="bf16", score_thresh=0.9999).detect(IMAGES)
    assert [len(of_image) for of_image in found] == [0] * len(IMAGES)


def test_files_of_which_one_is_broken(tmp_path, paint):
    paths = [paint(f"{i}.png", (64, 96), (4, 4, 40, 40, (255, 0, 0))) for i in range(3)]
    paths[1].write_bytes(b"no image")
    with fake_gpu() as gpu:
        ours = predictor("retinanet", "cuda", batch_size=2)
        gpu.forget()
        results = [found for _, found in ours.detect_files(paths)]
        assert not [line for line in gpu.waits if "copy to the GPU" in line]
    assert [isinstance(found, ImageError) for found in results] == [False, True, False]


def test_memory_that_runs_out_halves_the_batch(monkeypatch):
    images = [np.ascontiguousarray(IMAGES[0])] * 4
    with fake_gpu():
        ours = predictor("retinanet", "cuda")
        detect = ours.model.detect

        def limited(samples):
            if len(samples) > 2:
                raise torch.OutOfMemoryError("imaginary GPU is full")
            return detect(samples)

        monkeypatch.setattr(ours.model, "detect", limited)
        assert len(ours.detect(images)) == 4
    assert ours.batch_size == 2
