"""`detex check`: statuses, JSON lines, and what it leaves alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.detex.conftest import REPOSITORY, Detex
from verification.reliability.trees import Tree, make_tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A training's folder with few objects, which deserve warnings."""
    return make_tree(tmp_path_factory.mktemp("check"), "training", num_candidates=1, max_iter=30)


def _files(folder: Path) -> dict[Path, tuple[int, int]]:
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_warnings_when_strict(detex: Detex, tree: Tree) -> None:
    before = _files(tree.root)
    done = detex("check", str(tree.root / "in"), "--strict")
    assert (done.returncode, done.stderr) == (1, "")
    assert "warning: " in done.stdout
    assert "\n    -> label more" in done.stdout
    assert "starts from random weights\ntraining: 6 of 6 images, 12 objects" in done.stdout
    assert _files(tree.root) == before


def test_everything_as_json(detex: Detex, tree: Tree, tmp_path: Path) -> None:
    before = _files(tree.root)
    words = ("--deep", "--measure", "--json")
    done = detex("check", str(tree.root / "in"), *words, TMPDIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    *findings, result = map(json.loads, done.stdout.splitlines())
    speed = findings[-1]
    assert (speed["check"], speed["severity"]) == ("speed", "note")
    assert "an iteration of 2 images takes" in speed["sentence"]
    assert {finding["event"] for finding in findings} == {"finding"}
    assert (result["event"], result["status"], result["notes"]) == ("result", 0, 1)
    assert result["warnings"] >= 1  # which end with status 1 under --strict alone
    assert [each["images"] for each in result["sets"]] == [6, 4]
    assert _files(tree.root) == before
    assert not list(tmp_path.glob("detex-check-*"))  # torch makes a folder of its own


def test_a_folder_that_is_not_there(detex: Detex, tmp_path: Path) -> None:
    done = detex("check", str(tmp_path / "no"))
    assert done.returncode == 2
    assert "name the folder that holds config.yaml" in done.stderr


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param(("data.yaml",), "`detex prepare ", id="data of another tool"),
        pytest.param(("in/config.yaml",), "did you mean", id="the folder around it"),
    ],
)
def test_a_folder_that_is_no_task_s(
    detex: Detex, tmp_path: Path, files: tuple[str, ...], words: str
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    done = detex("check", str(tmp_path))
    assert done.returncode == 2
    assert words in done.stderr


def test_without_an_env_yaml_the_files_say_which_task(detex: Detex, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("gpu_id: ''\n")
    (tmp_path / "candidate-index.tsv").write_text("/in/a.png\n")
    done = detex("check", str(tmp_path), "--json")
    assert done.returncode == 4
    first, *_ = map(json.loads, done.stdout.splitlines())
    assert (first["status"], first["check"]) == (4, "model")
    assert str(tmp_path / "models") in first["place"]


ALONE = """
import sys
from pathlib import Path
from app.detex.check import report
status = report(Path(sys.argv[1]), deep=False, measure=False, strict=False, as_json=False)
assert not any(name in sys.modules for name in ("torch", "numpy"))
sys.exit(status)
"""


def test_wrong_settings_are_told_before_torch_is_imported(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("class_names: [cat]\nepochs: 3\nbatch_size: -1\n")
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.count("error: config.yaml:") == 2
    assert done.stdout.endswith(
        "2 errors; correct the settings first: model and data were not looked at\n"
    )
