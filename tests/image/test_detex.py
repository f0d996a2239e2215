"""Results of `detex` on a machine against those of the container, on the same data."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.engine import load_model
from tests.image.conftest import make_task

pytestmark = pytest.mark.image


def detex(verb: str, root: Path, repository: Path) -> None:
    """Run a verb on the folders below `root`, with the threads that the container has."""
    command = [sys.executable, "-m", "app.detex", verb]
    done = subprocess.run(
        [*command, "--in", str(root / "in"), "--out", str(root / "out")],
        cwd=repository,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_results_are_the_container_s_byte_for_byte(
    runner: Any, tmp_path: Path, repository: Path
) -> None:
    """A training, then mining and infer with the container's model, listed by its path in /in."""
    theirs, ours = make_task(tmp_path / "theirs"), make_task(tmp_path / "ours")
    for task in (theirs, ours):
        task.ask("training", num_workers=0, args_options="MODEL.WEIGHTS ''")
    assert runner.run(options=theirs.mounts).returncode == 0
    detex("train", ours.root, repository)
    assert ours.stages() == theirs.stages()
    (name, *_) = theirs.stages()
    for file in ("model.pth", "config.yaml"):
        trained = ours.out / "models" / name / file
        assert trained.read_bytes() == (theirs.out / "models" / name / file).read_bytes()
    for task in (theirs, ours):
        shutil.copytree(theirs.out / "models" / name, task.root / "in/models/stage")
        listed = ["/in/models/stage/model.pth", "/in/models/stage/config.yaml"]
        task.ask("mining", "infer", model_params_path=listed, conf_threshold=0.0)
    assert runner.run(options=theirs.mounts).returncode == 0
    detex("run", ours.root, repository)
    for file in ("infer-result.json", "result.tsv"):
        assert (ours.out / file).read_bytes() == (theirs.out / file).read_bytes()
    assert (ours.out / "result.tsv").read_text().startswith("/in/assets/candidate ")

    # The same model by the Python interface and by detex, inside the image.
    image = sorted((theirs.root / "in/assets").iterdir())[0].name
    program = f"""
from app.engine import load_model
found = load_model("/in/models").detect("/in/assets/{image}", threshold=0.0)
print(len(found), found.image_size)
"""
    done = runner.run("python", "-c", program, options=theirs.mounts)
    model = load_model(theirs.root / "in/models")
    mine = model.detect(theirs.root / "in/assets" / image, threshold=0.0)
    assert done.stdout.splitlines()[-1] == f"{len(mine)} {mine.image_size}", done.stderr
    command = ("detex", "detect", f"/in/assets/{image}", "--model", "/in/models", "--json")
    done = runner.run(*command, options=theirs.mounts)
    assert done.returncode == 0, done.stderr
    assert '"event": "result"' in done.stdout.splitlines()[-1]
