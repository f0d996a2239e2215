"""What RetinaNet and FCOS have in common, on tiny models."""

from pathlib import Path

import pytest
import torch

from app.engine.config import load_config
from app.engine.cpu.fold import fold_batch_norm
from app.engine.errors import ConfigError
from app.engine.modeling.build import build_detector
from app.engine.structures.sample import Sample
from app.engine.structures.targets import GroundTruth

CONFIGS = Path(__file__).parents[5] / "configs" / "COCO-Detection"
SMALL = [
    "MODEL.DEVICE",
    "cpu",
    "MODEL.RESNETS.DEPTH",
    "18",
    "MODEL.RESNETS.RES2_OUT_CHANNELS",
    "64",
    "MODEL.FPN.OUT_CHANNELS",
    "64",
    "MODEL.RETINANET.NUM_CONVS",
    "1",
    "MODEL.RETINANET.NUM_CLASSES",
    "3",
    "MODEL.FCOS.NUM_CONVS",
    "1",
    "MODEL.FCOS.NUM_CLASSES",
    "3",
]
ARCHITECTURES = {
    "retinanet": ("retinanet_R_50_FPN_1x", []),
    "fcos": ("fcos_R_50_FPN_1x", []),
    "separable": (
        "retinanet_R_50_FPN_1x",
        ["MODEL.FPN.SEPARABLE", "True", "MODEL.RETINANET.SEPARABLE", "True"],
    ),
}
"""Name -> config file and its changes."""

SECTIONS = {"retinanet": "RETINANET", "fcos": "FCOS", "separable": "RETINANET"}


def _model(name, *opts):
    torch.manual_seed(0)
    config, changes = ARCHITECTURES[name]
    model = build_detector(load_config(CONFIGS / f"{config}.yaml", [*SMALL, *changes, *opts]))
    # Fresh scores are all alike: spread them, around the thresholds.
    torch.nn.init.normal_(model.head.cls_score.weight, std=0.2)
    torch.nn.init.constant_(model.head.cls_score.bias, -1.0)
    return model


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request):
    return _model(request.param)


def _sample(height, width, boxes=None, *, seed=0):
    image = torch.randint(
        0, 256, (3, height, width), generator=torch.Generator().manual_seed(seed)
    ).byte()
    if boxes is None:
        return Sample(image, (2 * height, width))
    boxes = torch.tensor(boxes).reshape(-1, 4)
    return Sample(image, (2 * height, width), GroundTruth(boxes, torch.arange(len(boxes)) % 3))


def _train_step(model, samples):
    model.train().zero_grad()
    losses = model.losses(samples)
    torch.stack(list(losses.values())).sum().backward()
    return {name: loss.detach() for name, loss in losses.items()}


def test_detections_are_sorted_and_inside_the_original_image(model):
    (found,) = model.eval().detect([_sample(64, 96)])
    assert 0 < len(found) <= 100
    assert found.image_size == (128, 96)
    assert (found.boxes >= 0).all()
    assert (found.boxes <= torch.tensor([96, 128, 96, 128])).all()
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert set(found.classes.tolist()) <= {0, 1, 2}
    assert found.class_probs is None


def test_an_image_of_full_size_is_detected_alike_in_any_batch(model):
    one, other = _sample(64, 96, seed=1), _sample(64, 96, seed=2)
    model.eval()
    (alone,) = model.detect([one])
    for batch, place in (([one, other], 0), ([other, one, other], 1)):
        found = model.detect(batch)[place]
        torch.testing.assert_close(found.boxes, alone.boxes, rtol=1e-4, atol=1e-2)
        torch.testing.assert_close(found.scores, alone.scores, rtol=1e-4, atol=1e-5)


def test_ragged_batches_keep_their_sizes(model):
    found = model.eval().detect([_sample(40, 96), _sample(64, 33), _sample(7, 5)])
    assert [f.image_size for f in found] == [(80, 96), (128, 33), (14, 5)]


def test_class_probs_on_demand(model):
    model.eval()
    model.keep_class_probs = True
    (found,) = model.detect([_sample(64, 64)])
    model.keep_class_probs = False
    assert found.class_probs.shape == (len(found), 3)
    assert torch.equal(found.class_probs.gather(1, found.classes[:, None])[:, 0], found.scores)


def test_dense_class_probs(model):
    levels = model.eval().dense_class_probs([_sample(64, 96), _sample(64, 96)])
    assert [tuple(level.shape) for level in levels] == [
        (2, 3, *(-(-side // stride) for side in (64, 96))) for stride in (8, 16, 32, 64, 128)
    ]
    assert all(level.min() >= 0 and level.max() <= 1 for level in levels)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_numbers_give_no_detections(model, value):
    image = torch.full((3, 64, 64), value)
    (found,) = model.eval().detect([Sample(image, (64, 64))])
    assert len(found) == 0


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param([_sample(64, 64, [[4.0, 4.0, 40.0, 50.0]])], id="one image"),
        pytest.param([_sample(64, 64, [])], id="no objects"),
        pytest.param(
            [
                _sample(64, 64, []),
                _sample(50, 70, [[9.0, 9.0, 30.0, 30.0], [0.0, 0.0, 70.0, 50.0]]),
            ],
            id="half of the images empty",
        ),
    ],
)
def test_training_step(model, samples):
    losses = _train_step(model, samples)
    assert all(loss.isfinite() for loss in losses.values())
    assert any(loss > 0 for loss in losses.values())
    gradients = [p.grad for p in model.parameters() if p.requires_grad and p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert model.head.bbox_pred.weight.grad is not None


def test_the_normaliser_moves_and_can_be_restored(model):
    model.load_training_state({"loss_normalizer": 100.0})
    samples = [_sample(64, 64, [])]
    model.train().losses(samples)
    assert model.training_state() == {"loss_normalizer": pytest.approx(90.1)}
    model.load_training_state({"loss_normalizer": 50.0})
    model.losses(samples)
    assert model.loss_normalizer == pytest.approx(45.1)


def test_a_folded_model_detects_the_same(model):
    model.eval()
    for module in model.modules():
        if hasattr(module, "running_var"):
            module.running_var.fill_(0.8)
    samples = [_sample(64, 96)]
    (found,), (expected,) = fold_batch_norm(model).detect(samples), model.detect(samples)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-3, atol=2e-5)


def test_autocast_trains_and_detects_in_float32(model):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = _train_step(model, [_sample(64, 64, [[4.0, 4.0, 40.0, 50.0]])])
        (found,) = model.eval().detect([_sample(64, 64)])
    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
    assert found.boxes.dtype == found.scores.dtype == torch.float32


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_limits(name):
    section = SECTIONS[name]

    def detect(*opts):
        model = _model(name, *opts).eval()
        torch.nn.init.zeros_(model.head.bbox_pred.weight)  # no box may leave the image
        torch.nn.init.constant_(model.head.bbox_pred.bias, 0.5)
        return model.detect([_sample(64, 64)])[0]

    everything, found = detect(), detect("TEST.DETECTIONS_PER_IMAGE", "1")
    assert len(found) == 1
    assert torch.equal(found.scores, everything.scores[:1])
    assert len(detect(f"MODEL.{section}.SCORE_THRESH_TEST", "1.0")) == 0


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_maps_of_different_channels_cannot_share_the_head(name):
    section = SECTIONS[name]
    opts = [
        *("MODEL.BACKBONE.NAME", "build_resnet_backbone"),
        *("MODEL.RESNETS.OUT_FEATURES", "['res4','res5']"),
        *(f"MODEL.{section}.IN_FEATURES", "['res4','res5']"),
        *("MODEL.ANCHOR_GENERATOR.SIZES", "[[32]]"),
    ]
    with pytest.raises(ConfigError, match=rf"{section}\.IN_FEATURES .* \[256, 512\] channels"):
        _model(name, *opts)
