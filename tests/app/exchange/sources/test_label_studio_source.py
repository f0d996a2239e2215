"""Label Studio: regions, who made them, and names of images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.engine.data.problems import Effect
from app.exchange.sources import _drawings as drawings
from app.exchange.sources._source import UNLABELLED
from app.exchange.sources.label_studio import BRUSH, SEVERAL, UNFINISHED
from tests.app.exchange.conftest import Reader, counts
from tests.app.exchange.scenes import paint, region

SIZE = (40, 20)
BOX = region("rectanglelabels", "cat", x=25, y=10, width=50, height=40, rotation=0)
READ = [("cat", [10, 2, 30, 10])]


def write(path: Path, *results: Any, image: str = "a.png", **more: Any) -> None:
    """Write one task with one annotation."""
    task = {"id": 7, "data": {"image": image}, "annotations": [{"result": list(results)}], **more}
    path.write_text(json.dumps([task]))


@pytest.mark.parametrize(
    ("result", "box", "problems"),
    [
        pytest.param(BOX, [10, 2, 30, 10], {}, id="box"),
        pytest.param(
            region("rectanglelabels", "cat", x=50, y=20, width=25, height=20, rotation=90),
            [16, 4, 20, 14],
            {drawings.ROTATED: 1},
            id="a quarter, about the corner",
        ),
        pytest.param(
            region("rectanglelabels", "cat", x=50, y=50, width=25, height=20, rotation=-90),
            [20, 0, 24, 10],
            {drawings.ROTATED: 1},
            id="the other way",
        ),
        pytest.param(
            region("polygonlabels", "cat", points=[[25, 10], [75, 10], [50, 50]], closed=True),
            [10, 2, 30, 10],
            {},
            id="polygon",
        ),
        pytest.param(
            region("ellipselabels", "cat", x=50, y=50, radiusX=20, radiusY=20, rotation=0),
            [12, 6, 28, 14],
            {drawings.ROUND: 1},
            id="ellipse",
        ),
    ],
)
def test_regions(
    source: Path, reader: Reader, result: Any, box: list[float], problems: dict[str, int]
) -> None:
    paint(source / "a.png", SIZE)
    write(source / "a.json", result)
    content = reader.content("labelstudio")
    ((name, read),) = reader.boxes_in(content)["a.png"]
    assert name == "cat"
    assert read == pytest.approx(box, abs=0.01)
    assert counts(content) == problems


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        pytest.param(region("brushlabels", "cat", rle=[1], format="rle"), BRUSH, id="brush"),
        pytest.param(region("keypointlabels", "cat", x=1, y=1), drawings.NO_AREA, id="keypoint"),
        pytest.param(region("rectanglelabels", "cat", x=1), drawings.NOT_NUMBERS, id="half a box"),
        pytest.param(region("polygonlabels", "cat", points="x"), drawings.NOT_NUMBERS, id="text"),
        pytest.param(
            {**BOX, "id": "x", "value": {**BOX["value"], "rectanglelabels": []}},
            drawings.NO_CLASS,
            id="no class",
        ),
    ],
)
def test_what_is_dropped(source: Path, reader: Reader, result: Any, kind: str) -> None:
    paint(source / "a.png", SIZE)
    write(source / "a.json", result, BOX)
    content = reader.content("labelstudio")
    assert reader.boxes_in(content) == {"a.png": READ}
    assert content.reading.problems.with_effect(Effect.DROPPED) == {kind: 1}


def test_results_that_are_no_regions(source: Path, reader: Reader) -> None:
    paint(source / "a.png", SIZE)
    choice = {"id": "x", "type": "choices", "value": {"choices": ["sharp"]}}
    write(source / "a.json", choice, {"type": "relation", "from_id": "a", "to_id": "b"}, BOX)
    content = reader.content("labelstudio")
    assert reader.boxes_in(content) == {"a.png": READ}
    assert counts(content) == {}


def test_shape_and_class_as_results_of_their_own(source: Path, reader: Reader) -> None:
    paint(source / "a.png", SIZE)
    value = {key: BOX["value"][key] for key in ("x", "y", "width", "height")}
    shape = {"id": "r1", "type": "rectangle", "value": value}
    label = {"id": "r1", "type": "labels", "value": {**value, "labels": ["cat"]}}
    write(source / "a.json", shape, label)
    assert reader.boxes("labelstudio") == {"a.png": READ}


@pytest.mark.parametrize(
    ("annotations", "read", "problems"),
    [
        pytest.param([{"result": [BOX]}], READ, {}, id="one"),
        pytest.param([{"result": []}], [], {}, id="nothing to see"),
        pytest.param([], None, {UNFINISHED: 1}, id="none"),
        pytest.param(
            [{"was_cancelled": True, "result": [BOX]}], None, {UNFINISHED: 1}, id="skipped"
        ),
        pytest.param([{"result": [BOX]}, {"result": []}], READ, {SEVERAL: 1}, id="two people"),
        pytest.param(
            [{"result": []}, {"result": [BOX], "ground_truth": True}],
            READ,
            {SEVERAL: 1},
            id="truth",
        ),
    ],
)
def test_whose_annotation_counts(
    source: Path, reader: Reader, annotations: Any, read: Any, problems: dict[str, int]
) -> None:
    paint(source / "a.png", SIZE)
    write(source / "a.json", annotations=annotations)
    content = reader.content("labelstudio")
    assert reader.boxes_in(content) == ({} if read is None else {"a.png": read})
    assert {k: n for k, n in counts(content).items() if k != UNLABELLED} == problems


@pytest.mark.parametrize(
    "image",
    [
        pytest.param("/data/upload/1/01ab23cd-a.png", id="upload"),
        pytest.param("/data/local-files/?d=photos/a.png", id="local file"),
        pytest.param("s3://bucket/photos/a.png", id="bucket"),
        pytest.param("https://host/photos/a.png?token=1", id="address"),
    ],
)
def test_names_of_images(source: Path, reader: Reader, image: str) -> None:
    paint(source / "photos/a.png", SIZE)
    write(source / "a.json", BOX, image=image)
    assert reader.boxes("labelstudio") == {"photos/a.png": READ}


def test_the_short_export(source: Path, reader: Reader) -> None:
    paint(source / "a.png", SIZE)
    item = {**BOX["value"], "original_width": 40, "original_height": 20}
    task = {"image": "/data/upload/1/01ab23cd-a.png", "id": 1, "label": [item], "annotator": 1}
    (source / "min.json").write_text(json.dumps([task]))
    assert reader.boxes("labelstudio") == {"a.png": READ}


def test_a_photograph_that_exif_turns(source: Path, reader: Reader) -> None:
    """A browser shows it turned; the size in the file is that of the stored picture."""
    exif = Image.Exif()
    exif[274] = 6
    paint(source / "a.png", SIZE, exif=exif)
    write(source / "a.json", {**BOX, "original_width": 40, "original_height": 20})
    content = reader.content("labelstudio")
    np.testing.assert_allclose(content.records[0].boxes, [[5, 4, 15, 20]], atol=1e-4)
    assert counts(content) == {}
