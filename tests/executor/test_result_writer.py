import json
import math
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.result_writer import infer_result, integer_box, write_mining_result


def read(path: Path) -> dict[str, dict[str, list[dict[str, object]]]]:
    content = json.loads(path.read_text())
    assert list(content) == ["detection"]
    return content["detection"]


def test_infer_result(tmp_path: Path):
    path = tmp_path / "infer-result.json"
    with infer_result(path, ["cat", "red box"]) as result:
        result.add(
            "/in/assets/a b.JPG",
            boxes=[[1.4, 2.0, 10.6, 20.0], [0.0, 0.0, 5.0, 5.0]],
            classes=[1, 0],
            scores=[0.25, 0.8999999761581421],
            size=(100, 200),
        )
        result.add("/in/assets/empty.png")
        assert not path.exists()
    assert read(path) == {
        "a b.JPG": {
            "boxes": [
                {"box": {"x": 0, "y": 0, "w": 5, "h": 5}, "class_name": "cat", "score": 0.9},
                {"box": {"x": 1, "y": 2, "w": 10, "h": 18}, "class_name": "red box", "score": 0.25},
            ]
        },
        "empty.png": {"boxes": []},
    }


def test_no_candidates(tmp_path: Path):
    path = tmp_path / "infer-result.json"
    with infer_result(path, []):
        pass
    assert read(path) == {}


def test_the_oldest_dialect(tmp_path: Path):
    path = tmp_path / "infer-result.json"
    with infer_result(path, ["cat"], boxes_key="annotations") as result:
        result.add("a", boxes=[[0, 0, 1, 1]], classes=[0], scores=[1])
    assert list(read(path)["a"]) == ["annotations"]


def test_what_is_not_finite_or_outside_is_left_out(tmp_path: Path, caplog):
    path = tmp_path / "infer-result.json"
    boxes = [[0, 0, math.nan, 1], [0, 0, 1, 1], [50, 0, 60, 5], [0, 0, 1, 1]]
    with infer_result(path, ["cat"]) as result:
        scores = [0.5, math.nan, 0.5, 7.0]
        result.add("a", boxes=boxes, classes=[0] * 4, scores=scores, size=(10, 50))
    (found,) = read(path)["a"]["boxes"]
    assert found["score"] == 1.0
    assert "3 detections were not finite or outside" in caplog.text


def test_equal_base_names_and_odd_bytes(tmp_path: Path, caplog):
    path = tmp_path / "infer-result.json"
    with infer_result(path, []) as result:
        for name in ("/in/1/a.jpg", "/in/2/a.jpg", "/in/\udcff.jpg"):
            result.add(name)
    assert list(read(path)) == ["a.jpg", "/in/2/a.jpg", "\udcff.jpg"]
    assert "another image has this name" in caplog.text


def test_a_failed_run_leaves_nothing(tmp_path: Path):
    with pytest.raises(KeyError), infer_result(tmp_path / "result.json", []) as result:
        result.add(str({}["missing"]))
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_images(tmp_path: Path):
    path = tmp_path / "infer-result.json"
    boxes, classes, scores = [[0, 0, 10, 10]] * 50, [0] * 50, [0.5] * 50
    tracemalloc.start()
    with infer_result(path, ["cat"]) as result:
        for index in range(500):
            result.add(f"{index:040d}.jpg", boxes=boxes, classes=classes, scores=scores)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 1_500_000
    assert peak < 1_000_000


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


def test_mining_result(tmp_path: Path, caplog):
    path = tmp_path / "result.tsv"
    scores = [("/c", 0.1), ("/b", 0.9), ("/nan", math.nan), ("/a", 0.1), ("/b", 0.2), ("/d", -3.0)]
    write_mining_result(path, scores, unreadable=["/z", "/y"])
    found = lines(path)
    assert [name for name, _ in found] == ["/b", "/a", "/c", "/d", "/nan", "/y", "/z"]
    values = [score for _, score in found]
    assert values == sorted(values, reverse=True)
    assert values[4] < values[3]
    assert all(map(math.isfinite, values))
    assert "1 images have no finite score" in caplog.text


@pytest.mark.parametrize("names", [[], ["/only \udcff.jpg"]])
def test_small_mining_results(tmp_path: Path, names: list[str]):
    path = tmp_path / "result.tsv"
    write_mining_result(path, [], unreadable=names)
    assert [name for name, _ in lines(path)] == names


@given(st.permutations([(f"/{i}", float(i % 3)) for i in range(7)]))
def test_order_of_the_input_does_not_matter(scores: list[tuple[str, float]]):
    path = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path("/tmp")
    path = path / "mining-order-test.tsv"
    write_mining_result(path, scores)
    assert [name for name, _ in lines(path)] == ["/2", "/5", "/1", "/4", "/0", "/3", "/6"]
    path.unlink()
