"""SSD: equal to torchvision's on the same tensors and weights; priors, matching, hard negatives."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import detection as torchvision

from app.engine.checkpoint.torchvision_ssd import ssd, ssdlite
from app.engine.config import load_config
from app.engine.errors import ConfigError
from app.engine.modeling.build import build_detector
from app.engine.modeling.meta_arch._priors import PriorGrid, tensorflow_shapes
from app.engine.modeling.meta_arch._ssd_labels import hardest_negatives, match_priors
from app.engine.structures.boxes import pairwise_iou
from app.engine.structures.sample import Sample
from app.engine.structures.targets import GroundTruth

CONFIGS = Path(__file__).parents[5] / "configs" / "SSD"
TINY = [
    *("MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "INPUT.FIXED_SIZE", "[64, 96]"),
    *("MODEL.SSD.NUM_CLASSES", "3", "MODEL.SSD_LAYERS.CHANNELS", "[32, 16, 16, 8]"),
]


def _model(*overrides):
    torch.manual_seed(0)
    cfg = load_config(CONFIGS / "ssd_mobilenetv2_300.yaml", [*TINY, *overrides])
    model = build_detector(cfg)
    for layer in model.head.cls_score:
        nn.init.normal_(layer.weight, std=1.0)
    return model


@pytest.fixture(scope="module", params=["softmax", "sigmoid"])
def model(request):
    return _model("MODEL.SSD.SCORES", request.param)


def _sample(height, width, boxes=None, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, height, width), generator=generator).byte()
    if boxes is None:
        return Sample(image, (2 * height, 3 * width))
    boxes = torch.tensor(boxes).reshape(-1, 4)
    return Sample(image, (2 * height, 3 * width), GroundTruth(boxes, torch.arange(len(boxes)) % 3))


@pytest.mark.parametrize(
    ("name", "convert", "reference", "std"),
    [
        pytest.param("ssd_vgg16_300", ssd, torchvision.ssd300_vgg16, 0.005, id="SSD300"),
        pytest.param(
            "ssdlite_mobilenetv3_320",
            ssdlite,
            torchvision.ssdlite320_mobilenet_v3_large,
            0.1,
            id="SSDLite",
        ),
    ],
)
def test_equals_torchvision(name, convert, reference, std):
    """Scores within 1e-4, boxes within 0.05 pixels, losses within 1e-5."""
    torch.manual_seed(1)
    expected = reference(weights=None, weights_backbone=None, num_classes=8).eval()
    _randomise(expected, std)
    overrides = ["MODEL.DEVICE", "cpu", "MODEL.SSD.NUM_CLASSES", "7", "MODEL.WEIGHTS", ""]
    overrides += ["MODEL.MOBILENETV3.REDUCED_TAIL", "True", "MODEL.BACKBONE.FREEZE_AT", "0"]
    model = build_detector(load_config(CONFIGS / f"{name}.yaml", overrides)).eval()
    model.load_state_dict(convert(expected.state_dict()))
    side = model.anchor_generator.input_size[0]
    boxes = [[20.0, 30, 120, 200], [100, 100, 140, 130]], [[60.0, 60, 90, 90]]
    samples = [_sample(side, side, rows, seed=seed) for seed, rows in enumerate(boxes)]
    images = [sample.image.float() / 255 for sample in samples]
    with torch.no_grad():
        _equal(model.detect(samples[:1])[0], expected(images[:1])[0])
        targets = [
            {"boxes": s.ground_truth.boxes, "labels": s.ground_truth.classes + 1} for s in samples
        ]
        theirs = expected.train()(images, targets)
        ours = model.train().losses(samples)
    assert ours["loss_cls"].item() == pytest.approx(theirs["classification"].item(), rel=1e-5)
    assert ours["loss_box_reg"].item() == pytest.approx(theirs["bbox_regression"].item(), rel=1e-5)


def _randomise(model, std):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
        elif isinstance(module, nn.Conv2d) and module.bias is None:
            nn.init.kaiming_normal_(module.weight)  # SSDLite's own start makes all cells alike
    for name, parameter in model.head.classification_head.named_parameters():
        if parameter.ndim == 4 and parameter.shape[0] % 8 == 0 and "0.0." not in name:
            nn.init.normal_(parameter, std=std)


def _equal(found, theirs):
    """Each of torchvision's detections has a partner; those without area are dropped here."""
    has_area = (theirs["boxes"][:, 2:] > theirs["boxes"][:, :2]).all(dim=1)
    boxes = theirs["boxes"][has_area] * torch.tensor([3.0, 2.0, 3.0, 2.0])
    scores, classes = theirs["scores"][has_area], theirs["labels"][has_area] - 1
    assert len(found) == len(boxes) > 20
    away = (found.boxes[:, None] - boxes).abs().amax(dim=2) / 3
    partner = (away < 0.05) & ((found.scores[:, None] - scores).abs() < 1e-4)
    partner &= found.classes[:, None] == classes
    assert partner.any(dim=0).all()
    assert partner.any(dim=1).all()


def test_tensorflows_priors():
    """The numbers are those of PriorBox in OpenCV's description of ssd_mobilenet_v2_coco.

    It has 0.333 where the network has 0.3333.
    """
    scales = [0.2, 0.35, 0.5]
    first, second = tensorflow_shapes(scales, [[1.0, 2.0, 0.5, 3.0, 0.333]] * 2, reduce_first=True)
    assert [300 * w for w, _ in first] == pytest.approx([30, 84.85281, 42.42641], abs=1e-4)
    assert [300 * h for _, h in first] == pytest.approx([30, 42.42641, 84.85281], abs=1e-4)
    widths = [105, 148.49243, 74.24622, 181.86534, 60.59146, 125.499]
    assert [300 * w for w, _ in second] == pytest.approx(widths, abs=1e-3)
    whole = tensorflow_shapes(scales, [[1.0, 2.0, 0.5]] * 2, reduce_first=False)
    assert [len(shapes) for shapes in whole] == [4, 4]


def test_priors_fill_the_input_and_clip():
    grid = PriorGrid([[(0.5, 0.25)], [(2.0, 1.0)]], (60, 90), [(2, 3), (1, 1)], clip=True)
    fine, coarse = grid([torch.zeros(1, 1, 2, 3), torch.zeros(1, 1, 1, 1)])
    assert coarse.tolist() == [[0, 0, 90, 60]]
    centers = (fine[:, :2] + fine[:, 2:]) / 2
    assert centers.tolist() == [[15, 15], [45, 15], [75, 15], [15, 45], [45, 45], [75, 45]]
    assert torch.allclose(fine[:, 2:] - fine[:, :2], torch.tensor([45.0, 15.0]))


def test_every_object_has_a_prior(monkeypatch):
    priors = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10], [50, 50, 60, 60]])
    objects = torch.tensor([[0.0, 0, 10, 9], [0.0, 0, 3, 3], [11, 0, 20, 10]])
    for pairs in (3, 1000):  # in pieces, and at once
        monkeypatch.setattr("app.engine.modeling.meta_arch._ssd_labels._MAX_PAIRS", pairs)
        # The second object overlaps no other prior; of both the last one gets it.
        assert match_priors(objects, priors, 0.5).tolist() == [1, 2, -1]


def test_hardest_negatives_of_each_image():
    losses = torch.tensor([[9.0, 1, 3, 2, 5], [9, 1, 3, 2, 5]])
    positive = torch.tensor([[True, False, False, False, False], [False] * 5])
    chosen = hardest_negatives(losses, positive, 2.0)
    assert chosen.tolist() == [[False, False, True, False, True], [False] * 5]


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param([_sample(64, 96, [[4.0, 4.0, 40.0, 50.0]])] * 2, id="one object"),
        pytest.param([_sample(64, 96, []), _sample(64, 96, [])], id="no objects"),
        pytest.param(
            [_sample(64, 96, []), _sample(64, 96, [[9.0, 9, 30, 30], [0, 0, 96, 64]])],
            id="half of the images empty",
        ),
    ],
)
def test_training_step(model, samples):
    model.train().zero_grad()
    losses = model.losses(samples)
    torch.stack(list(losses.values())).sum().backward()
    has_objects = any(len(sample.ground_truth) for sample in samples)
    assert all(loss.isfinite() and (loss > 0) == has_objects for loss in losses.values())
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_detections_are_in_pixels_of_the_original(model):
    (found,) = model.eval().detect([_sample(64, 96)])
    assert 0 < len(found) <= 100
    assert found.image_size == (128, 288)
    assert (found.boxes >= 0).all()
    assert (found.boxes <= torch.tensor([288, 128, 288, 128])).all()
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


def test_an_image_is_detected_alike_in_any_batch(model):
    one, other = _sample(64, 96, seed=1), _sample(64, 96, seed=2)
    (alone,) = model.eval().detect([one])
    found = model.detect([other, one, other])[1]
    torch.testing.assert_close(found.boxes, alone.boxes, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(found.scores, alone.scores, rtol=1e-4, atol=1e-5)


def test_class_probs(model):
    model.eval()
    model.keep_class_probs = True
    (found,) = model.detect([_sample(64, 96)])
    model.keep_class_probs = False
    # A softmax has the background, too.
    assert found.class_probs.shape == (len(found), 4 if model.is_softmax else 3)
    assert not model.is_softmax or torch.allclose(found.class_probs.sum(dim=1), torch.tensor(1.0))
    assert torch.equal(found.class_probs.gather(1, found.classes[:, None])[:, 0], found.scores)
    levels = model.dense_class_probs([_sample(64, 96), _sample(64, 96)])
    sizes = [(4, 6), (2, 3), (1, 2), (1, 1), (1, 1), (1, 1)]
    assert [tuple(level.shape) for level in levels] == [(2, 3, *size) for size in sizes]
    assert all(level.min() >= 0 and level.max() <= 1 for level in levels)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_numbers_give_no_detections(model, value):
    (found,) = model.eval().detect([Sample(torch.full((3, 64, 96), value), (64, 96))])
    assert len(found) == 0


def test_a_size_too_small_for_the_network_is_refused():
    overrides = ["MODEL.DEVICE", "meta", "INPUT.FIXED_SIZE", "[128, 128]"]
    with pytest.raises(ConfigError, match=r"INPUT.FIXED_SIZE is \[128, 128\], too small"):
        build_detector(load_config(CONFIGS / "ssd_vgg16_300.yaml", overrides))


def test_learns_one_image_and_finds_its_objects():
    model = _model("MODEL.SSD.SCORES", "softmax")
    for layer in model.head.cls_score:
        nn.init.normal_(layer.weight, std=0.01)
    image = torch.full((3, 64, 96), 128, dtype=torch.uint8)
    image[0, 8:40, 10:50], image[2, 30:60, 60:90] = 255, 255
    truth = GroundTruth(torch.tensor([[10.0, 8, 50, 40], [60, 30, 90, 60]]), torch.tensor([0, 2]))
    sample = Sample(image, (64, 96), truth)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(40):
        losses = sum(model.train().losses([sample, sample]).values())
        optimizer.zero_grad()
        losses.backward()
        optimizer.step()
    for module in model.modules():  # moving averages of so few steps still are those of the start
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.losses([sample, sample])
    (found,) = model.eval().detect([sample])
    for box, number in zip(truth.boxes, truth.classes, strict=True):
        best = found.select(found.classes == number)
        assert best.scores[0] > 0.5
        assert pairwise_iou(best.boxes[:1], box[None]) > 0.6
