"""The depth of a training set is measured, logged and kept; a user's setting stays."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.engine.config import CfgNode, get_config
from app.engine.data.images import depth_of_set
from app.engine.data.images.depth import Depth
from app.engine.data.images.depth_of_set import with_depth
from app.engine.errors import DatasetError


def image(path: Path, largest: float, dtype: Any = np.uint16, *, smallest: float = 0) -> Path:
    """Values from the smallest to the largest, evenly."""
    values = np.linspace(smallest, largest, 48).reshape(6, 8).astype(dtype)
    Image.fromarray(values).save(path, "TIFF" if dtype != np.uint8 else "PNG")
    return path


def decided(paths: list[Path], **settings: Any) -> CfgNode:
    cfg = get_config()
    for key, value in settings.items():
        cfg.INPUT[key] = value
    cfg.freeze()
    return with_depth(cfg, paths)


@pytest.mark.parametrize(
    ("largest", "dtype", "bits", "white"),
    [
        pytest.param(200, np.uint16, 8, 0, id="0..255 in 16 bits"),
        pytest.param(1000, np.uint16, 10, 0, id="10 bits"),
        pytest.param(4095, np.uint16, 12, 0, id="12 bits"),
        pytest.param(4096, np.uint16, 14, 0, id="one more than 12 bits"),
        pytest.param(65535, np.uint16, 16, 0, id="16 bits"),
        pytest.param(3000, np.int16, 12, 0, id="signed"),
        pytest.param(70_000, np.int32, 24, 0, id="more than 16 bits"),
        pytest.param(2**31 - 1, np.int32, 32, 0, id="32 bits"),
        pytest.param(1.0, np.float32, 0, 1, id="shares of 1"),
        pytest.param(1.3, np.float32, 0, 1, id="shares of 1, sharpened"),
        pytest.param(250.5, np.float32, 0, 255, id="floats to 255"),
        pytest.param(4000.0, np.float32, 0, 4095, id="floats of 12 bits"),
        pytest.param(60000.0, np.float32, 0, 65535, id="floats of 16 bits"),
        pytest.param(255, np.uint8, 0, 0, id="8 bits: nothing to decide"),
    ],
)
def test_the_largest_value_decides(
    largest: float,
    dtype: Any,
    bits: int,
    white: float,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    paths = [image(tmp_path / str(n), value, dtype) for n, value in enumerate((0.2, 0.9, largest))]
    cfg = decided(paths)
    assert Depth.from_config(cfg) == Depth(bits, white)
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.INFO]
    if dtype == np.uint8:
        assert not told
    else:
        (line,) = told
        assert "3 of 3 images looked at have more than 8 bits" in line
        assert (f"INPUT.BITS_PER_SAMPLE {bits}" if bits else f"FLOAT_WHITE {white:g}") in line


def test_a_setting_stays_and_is_measured(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    paths = [image(tmp_path / "a", 4095), image(tmp_path / "b", 300.0, np.float32)]
    cfg = decided(paths, BITS_PER_SAMPLE=10, FLOAT_WHITE=255.0)
    assert (cfg.INPUT.BITS_PER_SAMPLE, cfg.INPUT.FLOAT_WHITE) == (10, 255.0)
    assert "BITS_PER_SAMPLE 10 as set" in caplog.text
    assert "values up to 4095 exceed white (INPUT.BITS_PER_SAMPLE 10)" in caplog.text
    assert "values up to 300 exceed white (INPUT.FLOAT_WHITE 255)" in caplog.text


def test_a_mixed_set_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tops = [255] * 3 + [65535] * 3
    paths = [image(tmp_path / str(n), top) for n, top in enumerate(tops)]
    paths += [image(tmp_path / f"plain {n}", 255, np.uint8) for n in range(2)]
    assert decided(paths).INPUT.BITS_PER_SAMPLE == 16
    assert "6 of 8 images looked at have more than 8 bits" in caplog.text
    assert "of different depth: 3 fit in 8 bits, 3 fit in 16 bits" in caplog.text


def test_a_few_bright_faults_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = np.full((100, 100), 3000, np.uint16)
    values[0, 0] = 65535
    Image.fromarray(values).save(tmp_path / "a.png")
    assert decided([tmp_path / "a.png"]).INPUT.BITS_PER_SAMPLE == 16
    assert "few values are bright" in caplog.text


def test_negative_values_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    paths = [image(tmp_path / "a", 3000, np.int16, smallest=-1000), image(tmp_path / "b", 100)]
    assert decided(paths).INPUT.BITS_PER_SAMPLE == 12
    assert "1 have values below 0, which are read as black" in caplog.text


@pytest.mark.parametrize(
    ("largest", "dtype", "message"),
    [
        pytest.param(1e6, np.float32, "floats up to 1e\\+06; set INPUT.FLOAT_WHITE", id="large"),
        pytest.param(-3.0, np.float32, "none of their values is above 0", id="decibels"),
        pytest.param(-3, np.int16, "none of their values is above 0", id="negative integers"),
    ],
)
def test_what_cannot_be_right_stops(
    largest: float, dtype: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=message):
        decided([image(tmp_path / "a", largest, dtype, smallest=-30)])


def test_the_sample_is_spread_and_does_not_depend_on_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depth_of_set, "NUM_MEASURED", 3)
    tops = [900, 900, 4000, 16000, 900]
    paths = [image(tmp_path / str(n), top) for n, top in enumerate(tops)]
    # The first, the middle and the last one.
    assert decided(paths).INPUT.BITS_PER_SAMPLE == 12
    assert decided(paths[::-1]).INPUT.BITS_PER_SAMPLE == 12


def test_unreadable_and_no_images(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"no image")
    assert decided([tmp_path / "broken", tmp_path / "missing"]) == get_config()
    assert decided([]) == get_config()
    paths = [tmp_path / "broken", image(tmp_path / "a", 4000)]
    assert decided(paths).INPUT.BITS_PER_SAMPLE == 12
    black = image(tmp_path / "black", 0)
    assert decided([black]).INPUT.BITS_PER_SAMPLE == 8


def test_an_image_that_cannot_be_measured_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").write_bytes(b"P3 1 1 65535 4095 0 0")
    assert decided([tmp_path / "a"]) == get_config()
    assert "none can be measured" in caplog.text
