"""Mining and infer give the same bytes with and without interruptions."""

import json
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from app.engine.predictor import Predictor
from app.tasks.__main__ import run_tasks
from app.tasks.mining import ranking
from executor.errors import StoppedError
from executor.journal import remove_journals

NUM_IMAGES = 21
SETTINGS = {"batch_size": 2, "image_size": 64, "conf_threshold": 0.0, "num_workers": 0}


class Killed(BaseException):
    """Nothing catches it."""


def nothing(_fraction: float) -> None:
    """Progress that nobody looks at."""


def at(limit: float, act: Callable[[], None]) -> Callable[[float], None]:
    """Progress that acts when it comes to a fraction."""

    def progress(fraction: float) -> None:
        if fraction >= limit:
            act()

    return progress


def interrupt() -> None:
    raise Killed


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def many(with_model: Any) -> Any:
    """Candidates of three sizes, some broken, and a model."""
    rng = np.random.default_rng(0)
    lines = []
    for number in range(NUM_IMAGES):
        image = with_model.root / f"in/assets/many_{number}.png"
        size = [(64, 64), (64, 96), (96, 64)][rng.integers(3)]
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(image)
        if number in (4, 17):
            image.write_bytes(b"<html>")
        lines.append(str(image))
    with_model.write_index("candidate-index.tsv", lines)
    return with_model


def results(tree: Any) -> dict[str, bytes]:
    """The published files; none but they and journals may lie in the output folder."""
    files = {path.name: path.read_bytes() for path in tree.out.iterdir() if path.is_file()}
    published = {name: content for name, content in files.items() if not name.endswith(".journal")}
    assert set(published) <= {"result.tsv", "infer-result.json"}
    return published


@pytest.mark.parametrize(
    ("task", "algorithm"),
    [
        *(
            pytest.param("mining", name, id=name)
            for name in ("random", "least_confidence", "margin", "entropy", "aldd", "cald")
        ),
        pytest.param("infer", "random", id="infer"),
    ],
)
def test_interrupted_runs_leave_the_same_results(many: Any, task: str, algorithm: str):
    many.write_env(**{f"run_{task}": True})
    many.write_config(**SETTINGS, mining_algorithm=algorithm)
    run_tasks(many.env, nothing)
    expected = results(many)
    for name, content in expected.items():
        assert all(content.count(b"many_%d.png" % i) == 1 for i in range(NUM_IMAGES))
        (many.out / name).unlink()
    remove_journals(many.out)
    with pytest.raises(Killed):
        run_tasks(many.env, at(0.6, interrupt))
    run_tasks(many.env, nothing)
    assert results(many) == expected


def test_finished_images_are_not_looked_at_again(many: Any, monkeypatch, caplog):
    looked_at: list[int] = []
    detect = Predictor.detect_batch

    def spy(self: Predictor, samples: list[Any]) -> Any:
        looked_at.extend(sample.image_id for sample in samples)
        return detect(self, samples)

    monkeypatch.setattr(Predictor, "detect_batch", spy)
    many.write_env(run_infer=True)
    many.write_config(**SETTINGS)
    with pytest.raises(StoppedError, match="after 16 of 21 images"):
        run_tasks(many.env, at(0.9, stop))
    first, group = set(looked_at), 8
    looked_at.clear()
    with caplog.at_level(logging.INFO):
        run_tasks(many.env, nothing)
    assert "16 of 21 images were finished by an earlier run" in caplog.text
    assert len(looked_at) == len(set(looked_at)) < NUM_IMAGES
    assert len(first & set(looked_at)) <= group
    assert len(json.loads((many.out / "infer-result.json").read_text())["detection"]) == NUM_IMAGES


@pytest.mark.parametrize(
    ("change", "starts_over"),
    [
        pytest.param({"num_workers": 1, "task_id": "other"}, False, id="how"),
        pytest.param({"conf_threshold": 0.1}, True, id="what"),
    ],
)
def test_other_settings_start_over(many: Any, change: dict[str, Any], starts_over: bool, caplog):
    many.write_env(run_infer=True)
    many.write_config(**SETTINGS)
    with pytest.raises(Killed):
        run_tasks(many.env, at(0.9, interrupt))
    many.write_config(**{**SETTINGS, **change})
    with caplog.at_level(logging.INFO):
        run_tasks(many.env, nothing)
    assert ("belongs to another run" in caplog.text) == starts_over
    assert ("finished by an earlier run" in caplog.text) != starts_over


@pytest.mark.parametrize("what", ["index", "weights"])
def test_other_inputs_start_over(many: Any, what: str, caplog):
    many.write_env(run_infer=True)
    many.write_config(**SETTINGS)
    with pytest.raises(Killed):
        run_tasks(many.env, at(0.9, interrupt))
    if what == "index":
        index = many.root / "in/candidate-index.tsv"
        index.write_text("\n".join(reversed(index.read_text().splitlines())))
    else:
        (weights,) = (many.root / "in/models").rglob("model.pth")
        content = torch.load(weights, weights_only=True)
        torch.save({**content, "iteration": 8}, weights)
    with caplog.at_level(logging.INFO):
        run_tasks(many.env, nothing)
    assert "belongs to another run" in caplog.text
    assert "finished by an earlier run" not in caplog.text


@pytest.mark.parametrize("algorithm", ["entropy", "random"])
def test_results_do_not_depend_on_the_order_of_the_index(many: Any, algorithm: str):
    """But for the order in which infer lists the images: that is the index's."""
    many.write_env(run_mining=True, run_infer=True)
    many.write_config(**SETTINGS, mining_algorithm=algorithm)
    run_tasks(many.env, nothing)
    expected = results(many)
    remove_journals(many.out)
    index = many.root / "in/candidate-index.tsv"
    lines = index.read_text().splitlines()
    np.random.default_rng(1).shuffle(lines)
    many.write_index("candidate-index.tsv", lines)
    run_tasks(many.env, nothing)
    found = results(many)
    assert found["result.tsv"] == expected["result.tsv"]
    before, now = (
        json.loads(files["infer-result.json"])["detection"] for files in (expected, found)
    )
    assert now == before
    assert list(now) == [Path(line).name for line in lines]


def test_ranking():
    names = [f"/a/{number}.jpg" for number in range(40)]
    scores = np.array([0.5, np.nan] * 5 + [0.1] * 20 + [0.9] * 10)
    order = [int(number) for number in ranking(scores, names)]
    assert sorted(order) == list(range(40))
    assert [scores[number] for number in order[:10]] == [0.9] * 10
    assert np.isnan(scores[order[-5:]]).all()
    ties = order[15:35]
    assert ties != sorted(ties)
    shuffled = np.random.default_rng(0).permutation(40)
    again = ranking(scores[shuffled], [names[number] for number in shuffled])
    assert [int(shuffled[number]) for number in again] == order


def test_journals_of_two_tasks_are_kept_to_the_end(many: Any, caplog):
    many.write_env(run_mining=True, run_infer=True)
    many.write_config(**SETTINGS, mining_algorithm="random")
    with pytest.raises(Killed):
        run_tasks(many.env, at(0.9, interrupt))
    assert sorted(path.name for path in Path(many.out).glob(".*")) == [
        ".infer.1-of-1.journal",
        ".mining.1-of-1.journal",
    ]
    with caplog.at_level(logging.INFO):
        run_tasks(many.env, nothing)
    assert f"{NUM_IMAGES} of {NUM_IMAGES} images were finished by an earlier run" in caplog.text
