"""The built image, run by a real engine: `make image-test` names it in EXECUTOR_IMAGE.

Tests run their containers without network and with one math thread; two of them may share the
cores. Folders look like a platform's; objects are coloured boxes.
"""

import json
import os
import shutil
import subprocess
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from verification.reliability.trees import COLOURS, LIGHT, annotate, paint

Done = subprocess.CompletedProcess[str]


@dataclass
class Container:
    """A container in the background."""

    name: str

    def logs(self) -> str:
        """Everything that it has said."""
        done = _docker("logs", self.name)
        return done.stdout + done.stderr

    def is_running(self) -> bool:
        return self.inspect("{{.State.Running}}") == "true"

    def inspect(self, template: str) -> str:
        return _docker("inspect", "-f", template, self.name).stdout.strip()

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        return int(_docker("wait", self.name, timeout_s=150).stdout)

    def stop(self) -> float:
        """`docker stop` with docker's own 10 seconds of grace; how long it took, in seconds."""
        start = time.monotonic()
        _docker("stop", self.name)
        return time.monotonic() - start

    def kill(self) -> None:
        _docker("kill", self.name)

    def await_that(self, condition: Callable[[], bool], timeout_s: float = 90) -> None:
        """Until `condition` holds; fails with the log if the container ends before."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline or not self.is_running():
                pytest.fail(f"it did not come to that:\n{self.logs()[-5000:]}")
            time.sleep(0.05)


@dataclass
class Runner:
    """`docker run` of the image; removes what it started."""

    image: str
    containers: list[Container] = field(default_factory=list)

    def run(self, *command: str, options: Sequence[str] = ()) -> Done:
        """The image with a command, or its own; with what it said and its exit status."""
        return _docker("run", "--rm", *self._options(options), self.image, *command)

    def start(self, *command: str, options: Sequence[str] = ()) -> Container:
        """The same in the background."""
        container = Container(f"executor-test-{uuid.uuid4().hex[:12]}")
        self.containers.append(container)
        named = ("run", "-d", "--name", container.name, *self._options(options))
        done = _docker(*named, self.image, *command)
        assert done.returncode == 0, done.stderr
        return container

    def inspect(self, template: str) -> Any:
        """A value of the image's configuration."""
        done = _docker("image", "inspect", "-f", f"{{{{json {template}}}}}", self.image)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def history(self) -> str:
        return _docker("history", "--no-trunc", self.image).stdout

    def clean_up(self) -> None:
        for container in self.containers:
            _docker("rm", "-f", container.name)

    @staticmethod
    def _options(options: Sequence[str]) -> tuple[str, ...]:
        return ("--network", "none", "-e", "OMP_NUM_THREADS=1", *options)


def _docker(*arguments: str, timeout_s: float = 180) -> Done:
    return subprocess.run(
        ["docker", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@dataclass(frozen=True)
class Task:
    """The folders of one task: eight small annotated images and three candidates."""

    root: Path

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def mounts(self) -> tuple[str, ...]:
        """Options of `docker run`."""
        return ("-v", f"{self.root}/in:/in:ro", "-v", f"{self.out}:/out")

    def ask(self, *tasks: str, **settings: Any) -> None:
        """Write env.yaml and config.yaml; a training trains the smallest model in two steps."""
        env = {f"run_{task}": True for task in tasks}
        env |= {"task_id": "t1", "protocol_version": "1.1.0"}
        (self.root / "in/env.yaml").write_text(yaml.safe_dump(env))
        config = {"class_names": list(COLOURS), "gpu_id": "", "image_size": 64}
        if "training" in tasks:
            config |= {"config_file": LIGHT, "max_iter": 2, "export_format": "ark:raw"}
        (self.root / "in/config.yaml").write_text(yaml.safe_dump({**config, **settings}))

    def monitor(self) -> list[str]:
        """Fields of the record in monitor.txt; none as long as there is none."""
        path = self.out / "monitor.txt"
        record = path.read_text(encoding="utf-8").split("\n") if path.is_file() else [""]
        return record[0].split("\t") if record[0] else []

    def stages(self) -> dict[str, float]:
        """mAP of every stage in result.yaml; each must have all its files, whole."""
        path = self.out / "models/result.yaml"
        if not path.is_file():
            return {}
        result = yaml.safe_load(path.read_text(encoding="utf-8"))
        stages = result["model_stages"]
        assert result["best_stage_name"] in stages
        for name, stage in stages.items():
            for file in stage["files"]:
                assert (self.out / "models" / name / file).stat().st_size
            with zipfile.ZipFile(self.out / "models" / name / "model.pth") as weights:
                assert weights.testzip() is None
        return {name: stage["mAP"] for name, stage in stages.items()}

    def owners(self) -> set[tuple[int, int]]:
        """uid and gid of everything that was written."""
        made = [path.lstat() for path in self.out.rglob("*")]
        return {(status.st_uid, status.st_gid) for status in made}


@pytest.fixture(scope="session")
def image() -> str:
    """The image's name."""
    name = os.environ.get("EXECUTOR_IMAGE", "")
    if not name:
        pytest.skip("EXECUTOR_IMAGE names no image; `make image-test` builds one and runs this")
    if shutil.which("docker") is None:
        pytest.skip("there is no docker program")
    return name


@pytest.fixture(scope="session")
def repository() -> Path:
    """What the image was built from."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture
def runner(image: str) -> Iterator[Runner]:
    """The image, ready to run."""
    made = Runner(image)
    yield made
    made.clean_up()


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """Folders of a task, /out writable for everybody as a platform leaves it."""
    return make_task(tmp_path)


def make_task(root: Path) -> Task:
    """Folders as a platform lays them out."""
    for folder in ("in/assets", "in/annotations", "in/models", "out"):
        (root / folder).mkdir(parents=True)
    (root / "out").chmod(0o777)
    pairs = []
    for i in range(8):
        boxes = paint(root / f"in/assets/{i}.png", i, 0 if i == 3 else 2)
        annotate(root / f"in/annotations/{i}.txt", boxes)
        pairs.append(f"/in/assets/{i}.png\t/in/annotations/{i}.txt\n")
    (root / "in/train-index.tsv").write_text("".join(pairs[:6]))
    (root / "in/val-index.tsv").write_text("".join(pairs[6:]))
    names = [f"candidate {i}.png" for i in range(3)]
    for i, name in enumerate(names):
        paint(root / "in/assets" / name, 100 + i, i)
    (root / "in/candidate-index.tsv").write_text("".join(f"/in/assets/{name}\n" for name in names))
    return Task(root)
