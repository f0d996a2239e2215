import pytest
import torch

from app.engine.config import get_config
from app.engine.errors import ConfigError
from app.engine.modeling.build import META_ARCHITECTURES, build_blank_detector, build_detector
from app.engine.structures.sample import Sample


@pytest.fixture
def detector(painted_detector):
    model = painted_detector()
    model.pixel_mean.copy_(torch.tensor([10.0, 20.0, 30.0]).view(3, 1, 1))
    model.pixel_std.copy_(torch.tensor([2.0, 4.0, 5.0]).view(3, 1, 1))
    return model


def _image(height, width, *, dtype=torch.uint8):
    return torch.randint(0, 256, (3, height, width)).to(dtype)


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([(40, 50)], id="one image"),
        pytest.param([(40, 50), (33, 64), (7, 1)], id="ragged sizes"),
        pytest.param([(32, 64)], id="no padding needed"),
    ],
)
def test_normalised_before_padding(detector, sizes):
    images = [_image(*size) for size in sizes]
    batch = detector.preprocess([Sample(image, (1, 1)) for image in images])
    assert batch.sizes == sizes
    assert batch.tensor.shape[2] % 32 == batch.tensor.shape[3] % 32 == 0
    assert batch.tensor.is_contiguous(memory_format=torch.channels_last)
    for row, image, (h, w) in zip(batch.tensor, images, sizes, strict=True):
        expected = (image.float() - detector.pixel_mean) / detector.pixel_std
        assert torch.equal(row[:, :h, :w], expected)
        assert row.abs().sum().item() == pytest.approx(expected.abs().sum().item(), rel=1e-5)


def test_float_images_are_taken_too(detector):
    image = _image(8, 9)
    exact = detector.preprocess([Sample(image, (8, 9))]).tensor
    assert torch.equal(detector.preprocess([Sample(image.float(), (8, 9))]).tensor, exact)


def test_forward_chooses_by_mode(detector):
    samples = [Sample(_image(8, 9), (8, 9))]
    assert detector.train()(samples) == {}
    with torch.no_grad():
        assert len(detector.eval()(samples)) == 1


def test_pixel_statistics_are_no_weights(detector):
    assert detector.state_dict() == {}


def test_a_blank_detector_draws_nothing_but_has_all_constants():
    cfg = get_config()
    cfg.MODEL.DEVICE, cfg.MODEL.META_ARCHITECTURE = "cpu", "RetinaNet"
    cfg.MODEL.BACKBONE.NAME = "build_retinanet_mobilenetv2_fpn_backbone"
    cfg.MODEL.FPN.IN_FEATURES = ["mb3", "mb4", "mb5"]
    before = torch.get_rng_state()
    blank = build_blank_detector(cfg).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    drawn = build_detector(cfg).state_dict()
    assert blank.keys() == drawn.keys()
    constants = [key for key, value in drawn.items() if value.float().std(correction=0) == 0]
    assert len(constants) > 100
    for key in constants:
        assert torch.equal(blank[key], drawn[key]), key


def test_every_wrong_value_of_a_config_made_by_hand_is_told_at_once():
    cfg = get_config()
    cfg.MODEL.META_ARCHITECTURE = "YOLO"
    cfg.MODEL.FPN.FUSE_TYPE = "max"
    with pytest.raises(ConfigError, match=r"(?s)RetinaNet.*FUSE_TYPE is 'max'.*sum"):
        build_detector(cfg)


def test_the_table_names_classes_by_their_own_names():
    assert all(name == kind.__name__ for name, kind in META_ARCHITECTURES.items())
