"""`detex prepare` as a command: its output, its speed, and the statuses of its refusals."""

import json
from pathlib import Path

import pytest

from tests.app.detex.conftest import Detex
from tests.app.exchange import scenes


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The small COCO data set."""
    folder = tmp_path / "my data"
    folder.mkdir()
    scenes.coco(folder)
    return folder


def test_people_read_an_account_and_the_next_commands(
    detex: Detex, source: Path, tmp_path: Path
) -> None:
    done = detex("prepare", "my data", "my in", "--classes", "cat", "--val", "0.34", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "my data is read as coco: 1 COCO file (annotations/instances.json)"
    assert "note: 1 x object of a class that --classes does not name (dropped)" in done.stdout
    assert lines[-1] == "next: detex check 'my in'; detex train --in 'my in' --out RUN"
    assert (tmp_path / "my in/train-index.tsv").exists()


def test_programs_read_one_object(detex: Detex, source: Path, tmp_path: Path) -> None:
    done = detex("prepare", "my data", "made", "--json", "--split", "random", cwd=tmp_path)
    account = json.loads(done.stdout)
    assert account["status"] == 0
    assert account["source"] == "coco"
    assert account["folder"] == "made"
    assert set(account["sets"]) == {"train", "val", "test"}
    assert "read as coco" in done.stderr
    done = detex("prepare", "my data", "made", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["status"] == done.returncode == 2
    done = detex("prepare", "my data", "made", "--json", "--force", "--val", "0", cwd=tmp_path)
    assert json.loads(done.stdout)["sets"]["val"]["images"] == 0


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        pytest.param(("nowhere", "x"), 3, "nowhere: there is no such file", id="no source"),
        pytest.param(("my data", "x", "--from", "yollo"), 2, "did you mean yolo", id="no layout"),
        pytest.param(("my data", "x", "--model", "y"), 4, "--model y: it is no folder", id="model"),
        pytest.param(("my data/photos", "/proc/x"), 8, "/proc", id="no place to write"),
    ],
)
def test_mistakes(
    detex: Detex, source: Path, tmp_path: Path, words: tuple[str, ...], status: int, sentence: str
) -> None:
    done = detex("prepare", *words, cwd=tmp_path)
    assert sentence in " ".join((done.stderr + done.stdout).split())
    assert "Traceback" not in done.stderr
    assert done.returncode == status
    assert [path.name for path in tmp_path.iterdir()] == ["my data"]


def test_messages_name_options_in_place_of_settings(
    detex: Detex, source: Path, tmp_path: Path
) -> None:
    file = source / "annotations/instances.json"
    file.write_text(
        file.read_text().replace('"width": 40, "height": 24', '"width": 24, "height": 40')
    )
    done = detex("prepare", "my data", "x", cwd=tmp_path)
    assert "set --annotated-frame to shown if" in done.stdout
    assert "annotated_frame" not in done.stdout


def test_torch_is_not_imported(detex: Detex, source: Path, tmp_path: Path) -> None:
    """The model's weights are at hand; otherwise torch finds out which other model's are."""
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "mobilenet_v2-b0353104.pth").touch()
    variables = {"PYTHONPROFILEIMPORTTIME": "1", "WEIGHTS_DIR": str(weights)}
    done = detex("prepare", "my data", "x", cwd=tmp_path, **variables)
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "PIL.Image" in imported
    assert imported & {"torch", "rich", "onnxruntime"} == set()
