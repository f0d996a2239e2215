"""Checks that the table of mistakes does not reach, and how sentences become findings."""

import logging

import numpy as np
import pytest
from PIL import Image

from app.check import Severity
from app.check._finding import finding_of, warnings_as_findings
from executor.errors import DatasetError
from tests.app.check.conftest import Check, Folder, xywh

logger = logging.getLogger(__name__)

RESNET = "configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml"


@pytest.mark.parametrize(
    ("reason", "severity", "status", "words"),
    [
        pytest.param("", Severity.NOTE, 0, "will download it", id="reachable"),
        pytest.param("no route", Severity.ERROR, 4, "(no route)", id="unreachable"),
    ],
)
def test_weights_that_are_not_on_this_machine(
    folder: Folder,
    check: Check,
    monkeypatch: pytest.MonkeyPatch,
    reason: str,
    severity: Severity,
    status: int,
    words: str,
) -> None:
    monkeypatch.setenv("WEIGHTS_DIR", "/my/weights")
    monkeypatch.setattr("app.engine.checkpoint.weights.why_unreachable", lambda weights: reason)
    folder.set(config_file=RESNET, args_options="MODEL.WEIGHTS https://host/nobody-has-this.pkl")
    (found,) = (each for each in check() if each.check == "model")
    assert (found.severity, found.status) == (severity, status)
    assert "nobody-has-this.pkl is not on this machine (looked in /my/weights, " in found.sentence
    assert words in found.sentence


def test_tiles_make_small_boxes_large_enough(folder: Folder, check: Check) -> None:
    folder.set(image_size=32)
    assert [each.check for each in check()] == ["box_sizes", "box_sizes"]
    folder.set(image_size=32, tile_size=32)
    assert not [each for each in check() if "8 x 8 pixels" in each.sentence]


def _break_inside(folder: Folder, number: int) -> None:
    """Damage the pixels of an image, and leave its header and its end as they are."""
    path = folder.path / f"assets/{number}.png"
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    path.write_bytes(content)


def test_pixels_are_looked_at_if_asked_for(folder: Folder, check: Check) -> None:
    _break_inside(folder, 4)
    assert not [each for each in check() if each.check == "pixels"]
    (found,) = (each for each in check(deep=True) if each.check == "pixels")
    assert "training set: 1 of 16 images cannot be decoded" in found.sentence
    assert found.place == str(folder.path / "assets/4.png")
    assert "take them out" in found.remedy


def test_an_accepted_smell_is_not_told(folder: Folder, check: Check) -> None:
    folder.ark(lambda box: (box[0], *xywh(box)))
    folder.set(accepted_smells="xywh-boxes")
    assert not [each for each in check() if "xywh" in each.sentence]


def test_a_set_with_one_wrong_box_in_a_hundred_has_no_finding(folder: Folder, check: Check) -> None:
    """The last lines of the command have its number."""
    boxes = "".join(
        f"{n % 3},{4 * (n % 25)},{n // 4},{4 * (n % 25) + 22},{n // 4 + 20}\n" for n in range(120)
    )
    folder.write("annotations/0.txt", f"{boxes}1,5,5,5,4\n")
    assert check() == []


def test_images_with_many_bits(folder: Folder, check: Check) -> None:
    for number in range(22):
        values = np.random.default_rng(number).integers(0, 4096, (96, 128)).astype(np.uint16)
        Image.fromarray(values).save(folder.path / f"assets/{number}.png")
    assert check() == []


@pytest.mark.parametrize(
    ("text", "place", "sentence", "remedy"),
    [
        pytest.param(
            "config.yaml:3:1: a: too large (got 9); allowed 0 to 1; leave it out for 0",
            "config.yaml:3:1",
            "a: too large (got 9)",
            "allowed 0 to 1; leave it out for 0",
            id="setting",
        ),
        pytest.param(
            "/in/a.txt:7: wrong; for example x; repair it",
            "/in/a.txt:7",
            "wrong; for example x",
            "repair it",
            id="file and line",
        ),
        pytest.param("no place: at all", "here", "no place: at all", "ask", id="neither"),
    ],
)
def test_a_sentence_becomes_a_finding(text: str, place: str, sentence: str, remedy: str) -> None:
    found = finding_of(text, severity=Severity.WARNING, place="here", remedy="ask")
    assert (found.place, found.sentence, found.remedy) == (place, sentence, remedy)


def test_what_is_heard() -> None:
    with warnings_as_findings("outside") as outer:
        logger.warning("one; do this")
        with warnings_as_findings("inside") as inner:
            logger.warning("two")
            raise DatasetError("three\nfour; do that\n2 problems in x: a, b")
        logger.info("nothing")
    assert [(each.sentence, each.remedy) for each in outer] == [("one", "do this")]
    assert [(each.sentence, each.place, each.status) for each in inner] == [
        ("two", "inside", 0),
        ("three", "inside", 3),
        ("four", "inside", 3),
    ]


def test_a_bug_of_ours_stays_one() -> None:
    with pytest.raises(ZeroDivisionError), warnings_as_findings():
        print(1 / 0)
    assert not [each for each in logging.getLogger().handlers if type(each).__name__ == "_Ear"]
