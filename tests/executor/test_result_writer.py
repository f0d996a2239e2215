import json
import math
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.dataset_reader import Asset
from executor.result_writer import (
    InferEntries,
    integer_box,
    write_infer_result,
    write_mining_result,
)


def read(path: Path) -> dict[str, dict[str, list[dict[str, object]]]]:
    content = json.loads(path.read_text())
    assert list(content) == ["detection"]
    return content["detection"]


def publish(path: Path, entries: dict[str, str]) -> None:
    write_infer_result(path, [Asset(name) for name in entries], iter(entries.values()))


def test_infer_result(tmp_path: Path):
    path = tmp_path / "infer-result.json"
    maker = InferEntries(["cat", 'red "box"'])
    entry = maker.entry(
        boxes=[[1.4, 2.0, 10.6, 20.0], [0.0, 0.0, 5.0, 5.0]],
        classes=[1, 0],
        scores=[0.25, 0.8999999761581421],
        size=(100, 200),
    )
    publish(path, {"/in/assets/a b.JPG": entry, "/in/assets/empty.png": maker.entry()})
    assert read(path) == {
        "a b.JPG": {
            "boxes": [
                {"box": {"x": 0, "y": 0, "w": 5, "h": 5}, "class_name": "cat", "score": 0.9},
                {
                    "box": {"x": 1, "y": 2, "w": 10, "h": 18},
                    "class_name": 'red "box"',
                    "score": 0.25,
                },
            ]
        },
        "empty.png": {"boxes": []},
    }


def test_no_candidates(tmp_path: Path):
    path = tmp_path / "infer-result.json"
    publish(path, {})
    assert read(path) == {}


def test_the_oldest_dialect():
    maker = InferEntries(["cat"], boxes_key="annotations")
    entry = maker.entry(boxes=[[0, 0, 1, 1]], classes=[0], scores=[1])
    assert list(json.loads(entry)) == ["annotations"]


def test_what_is_not_finite_or_outside_is_left_out():
    maker = InferEntries(["cat"])
    boxes = [[0, 0, math.nan, 1], [0, 0, 1, 1], [50, 0, 60, 5], [0, 0, 1, 1]]
    scores = [0.5, math.nan, 0.5, 7.0]
    entry = maker.entry(boxes=boxes, classes=[0] * 4, scores=scores, size=(10, 50))
    (found,) = json.loads(entry)["boxes"]
    assert found["score"] == 1.0
    assert maker.num_dropped == 3


def test_equal_base_names_and_odd_bytes(tmp_path: Path, caplog):
    path = tmp_path / "infer-result.json"
    images = ["/in/1/a.jpg", "/in/2/a.jpg", "a.jpg", "./a.jpg", "/in/\udcff.jpg"]
    publish(path, dict.fromkeys(images, "{}"))
    assert list(read(path)) == ["a.jpg", "/in/2/a.jpg", "./a.jpg", "././a.jpg", "\udcff.jpg"]
    assert "3 images share the base name of another" in caplog.text


def test_a_failed_run_leaves_nothing(tmp_path: Path):
    with pytest.raises(ValueError, match="shorter"):
        write_infer_result(tmp_path / "result.json", [Asset("a"), Asset("b")], ["{}"])
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_images(tmp_path: Path):
    path = tmp_path / "infer-result.json"
    maker = InferEntries(["cat"])
    boxes, classes, scores = [[0, 0, 10, 10]] * 50, [0] * 50, [0.5] * 50
    images = [Asset(f"{index:040d}.jpg") for index in range(500)]
    tracemalloc.start()
    entries = (maker.entry(boxes=boxes, classes=classes, scores=scores) for _ in images)
    write_infer_result(path, images, entries)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 1_500_000
    assert peak < 500_000


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param([1.0, 2.0, 4.0, 6.0], (1, 2, 3, 4), id="whole pixels"),
        pytest.param([-5.0, -5.0, 5.0, 5.0], (0, 0, 5, 5), id="clipped at the start"),
        pytest.param([90.0, 40.0, 200.0, 60.0], (90, 40, 10, 10), id="clipped at the end"),
        pytest.param([3.2, 3.2, 3.4, 3.4], (3, 3, 1, 1), id="less than a pixel"),
        pytest.param([99.7, 49.7, 100.0, 50.0], (99, 49, 1, 1), id="in the last corner"),
        pytest.param([100.0, 0.0, 110.0, 5.0], None, id="touching from outside"),
        pytest.param([-5.0, 0.0, 0.0, 5.0], None, id="ends where the image starts"),
        pytest.param([5.0, 5.0, 4.0, 6.0], None, id="inverted"),
        pytest.param([0.0, 0.0, math.inf, 5.0], None, id="infinite"),
    ],
)
def test_integer_box(box: list[float], expected: tuple[int, int, int, int] | None):
    assert integer_box(box, (50, 100)) == expected


def test_boxes_of_an_image_of_unknown_size_fit_into_32_bits():
    assert integer_box([1e12, 0, 2e12, 5], None) is None
    assert integer_box([0, 0, 1e12, 1e12], None) == (0, 0, 2**31 - 1, 2**31 - 1)


@given(
    st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4),
    st.integers(1, 300),
    st.integers(1, 300),
)
def test_integer_boxes_lie_inside(box: list[float], height: int, width: int):
    found = integer_box(box, (height, width))
    if found is not None:
        x, y, w, h = found
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height


def lines(path: Path) -> list[tuple[str, float]]:
    pairs = [line.split("\t") for line in path.read_text(errors="surrogateescape").splitlines()]
    return [(name, float(score)) for name, score in pairs]


def test_mining_result(tmp_path: Path):
    path = tmp_path / "result.tsv"
    write_mining_result(path, [("/b", 0.9), ("/a", 0.1), ("/c", 0.1), ("/d", -3.0)], last=["/z"])
    found = lines(path)
    assert [name for name, _ in found] == ["/b", "/a", "/c", "/d", "/z"]
    values = [score for _, score in found]
    assert values == [0.9, 0.1, 0.1, -3.0, -4.0]


@pytest.mark.parametrize("names", [[], ["/only \udcff.jpg"]])
def test_small_mining_results(tmp_path: Path, names: list[str]):
    path = tmp_path / "result.tsv"
    write_mining_result(path, [], last=names)
    assert [name for name, _ in lines(path)] == names


@pytest.mark.parametrize("scores", [[0.1, 0.2], [math.nan], [1.0, math.nan], [-math.inf]])
def test_what_is_not_ranked_is_refused(tmp_path: Path, scores: list[float]):
    with pytest.raises(AssertionError, match="not ranked"):
        write_mining_result(tmp_path / "result.tsv", [(str(score), score) for score in scores])
