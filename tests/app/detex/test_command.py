"""The help of `detex`, its speed, and how wrong commands are refused."""

import json
import re
import shutil
import subprocess
import sys
import time
import tomllib

import pytest

from app.cli.arguments import VERBS, verb_parser
from common.version import VERSION
from tests.app.detex.conftest import REPOSITORY, Detex

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")

ALL_VERBS = {
    *("run", "train", "mine", "infer", "evaluate", "detect", "export"),
    *("doctor", "configs", "schema", "prepare", "convert", "check", "show"),
}


def test_help_names_every_verb_at_once(detex: Detex) -> None:
    start = time.monotonic()
    done = detex("--help")
    assert time.monotonic() - start < 5  # a tenth of a second of processor time; others run as well
    assert done.returncode == 0
    verbs = set(re.findall(r"^  (\w+) ", done.stdout.partition("Commands:")[2], re.MULTILINE))
    assert verbs == ALL_VERBS
    assert "..." not in done.stdout.partition("Commands:")[2], "a summary is cut"


@pytest.mark.parametrize(
    "words", [("--help",), ("run", "--help"), ("train", "--help"), ("schema",)]
)
def test_nothing_heavy_is_imported(detex: Detex, words: tuple[str, ...]) -> None:
    done = detex(*words, PYTHONPROFILEIMPORTTIME="1")
    imported = set(re.findall(r"\| +([a-z]\w+)$", done.stderr, re.MULTILINE))
    assert "typer" in imported
    assert not imported & {"torch", "numpy", "PIL", "rich", "onnxruntime"}


def test_versions(detex: Detex) -> None:
    done = detex("--version")
    assert done.stdout.startswith(f"detex {VERSION}, torch ")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
    assert f"ARG VERSION={VERSION}\n" in (REPOSITORY / "Dockerfile").read_text()


@pytest.mark.parametrize("verb", VERBS)
def test_no_option_of_the_engine_s_command_line_is_lost(detex: Detex, verb: str) -> None:
    done = detex(verb, "--help")
    assert done.returncode == 0
    for action in verb_parser(verb)._actions:
        for flag in action.option_strings:
            assert flag in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        pytest.param(("trian",), "Did you mean 'train'?", id="a verb misspelt"),
        pytest.param(("run", "--inn", "x"), "Possible options: --in", id="an option misspelt"),
        pytest.param(("run", "--out", "x"), "Missing option '--in'", id="no --in"),
        pytest.param(("run", "--in", "none", "--out", "x"), "is not there", id="no folder"),
        pytest.param(("run", "--in", ".", "--out", "."), "a folder of their own", id="one folder"),
        pytest.param(
            ("run", "--in", ".", "--out", str(REPOSITORY / "LICENSE")),
            "LICENSE: is no folder",
            id="--out a file",
        ),
        pytest.param(("run", "--in", ".", "--out", "x"), "has no env.yaml", id="no task"),
        pytest.param(("mine", "x", "--in", ".", "--out", "y"), "unexpected", id="a word too many"),
        pytest.param(("train",), "--in DIR and --out DIR", id="train on nothing"),
        pytest.param(("train", "--in", "x"), "add --out DIR", id="half of the folders"),
        pytest.param(
            ("train", "--in", "x", "--out", "y", "--config-file", "z"),
            "--config-file is an option of detectron2's way",
            id="both ways",
        ),
        pytest.param(
            ("train", "--config-file", "z", "--out", "y"),
            "results go to --output",
            id="one of each",
        ),
        pytest.param(
            ("train", "--in", "x", "--ouput", "y"), "did you mean --out?", id="train, misspelt"
        ),
        pytest.param(
            ("train", "--in", "x", "--out", "y", "SEED", "1"), "SEED means nothing", id="a pair"
        ),
        pytest.param(("train", "--config-file", "z", "--json"), "--json goes with", id="no JSON"),
        pytest.param(
            ("train", "--config-file", "z", "--numgpus", "2"),
            "no option --numgpus; did you mean --num-gpus?",
            id="detectron2's, misspelt",
        ),
        pytest.param(("evaluate",), "required: --config-file", id="nothing to evaluate"),
        pytest.param(
            ("detect", "--config-file", "none.yaml", "--input", "x"),
            "none.yaml: cannot be read",
            id="no config",
        ),
        pytest.param(("detect",), "no image is named", id="detect nothing"),
        pytest.param(("detect", "x", "--modle", "y"), "did you mean --model?", id="misspelt"),
        pytest.param(("detect", "--input", "x"), "which needs --config-file", id="half a way"),
        pytest.param(
            ("detect", "--config-file", "x", "--csv"), "detectron2's way, which has", id="both"
        ),
        pytest.param(("detect", "x", "--json", "--csv"), "two forms of the same", id="two forms"),
        pytest.param(
            ("configs", "retinanet_mobilnetv2_FPN"), "did you mean configs/Mobile/", id="no model"
        ),
        pytest.param(("schema", "traning"), "'training', 'mining', 'infer'", id="no task so named"),
    ],
)
def test_mistakes_are_told_with_status_2(
    detex: Detex, tmp_path, words: tuple[str, ...], sentence: str
) -> None:
    done = detex(*words, cwd=tmp_path)
    said = " ".join((done.stderr + done.stdout).split())
    assert sentence in said
    assert "Traceback" not in said
    assert done.returncode == 2
    assert not (tmp_path / "y").exists()


def test_statuses_of_the_engine_s_verbs_are_the_contract_s(detex: Detex, tmp_path) -> None:
    config = "Mobile/retinanet_mobilenetv2_FPN_light.yaml"
    words = ("--config-file", config, "--coco", "mine", "none.json", "none", "SEED", "1")
    done = detex("train", *words, cwd=tmp_path)
    assert done.returncode == 3
    assert "none.json: cannot be read" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        pytest.param("detex m", {"mine"}, id="a verb"),
        pytest.param("detex infer --", {"--in", "--out", "--json", "--help"}, id="an option"),
        pytest.param("detex export --f", {"--format"}, id="an option of the engine's"),
        pytest.param("detex train --", {"--in", "--config-file", "--coco"}, id="both kinds"),
        pytest.param("detex schema m", {"mining"}, id="a task"),
    ],
)
def test_shells_complete(detex: Detex, line: str, offered: set[str]) -> None:
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = detex(_DETEX_COMPLETE="complete_bash", **words)
    assert offered <= set(done.stdout.split())


@needs_make
def test_the_clone_s_script_works_from_any_folder(tmp_path) -> None:
    """Made by make's own rule; a folder called `app` where one stands is not this product."""
    bin_dir = tmp_path / "venv/bin"
    bin_dir.mkdir(parents=True)
    (bin_dir / "python").symlink_to(sys.executable)
    (tmp_path / "venv/.runtime").touch()
    make = ["make", "-s", "-o", f"{tmp_path}/venv/.runtime", f"VENV={tmp_path}/venv"]
    subprocess.run([*make, f"{bin_dir}/detex"], cwd=REPOSITORY, check=True)
    (tmp_path / "app").mkdir()
    (tmp_path / "app/__init__.py").write_text("raise SystemExit('the wrong one')")
    command = [sys.executable, str(bin_dir / "detex"), "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"detex {VERSION}"), done.stderr
    first_line = (bin_dir / "detex").read_text().splitlines()[0]
    assert first_line == f"#!{bin_dir}/python"


@needs_make
def test_make_alone_lists_its_targets() -> None:
    shown = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    targets = set(re.findall(r"^  make (\S+)", shown.stdout, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert targets == set(phony[1].split())


def test_schemas(detex: Detex, tmp_path) -> None:
    schemas = json.loads(detex("schema").stdout)
    assert set(schemas) == {"training", "mining", "infer"}
    file = REPOSITORY / "docker/img-man/mining.schema.json"
    assert json.loads(detex("schema", "mining").stdout) == json.loads(file.read_text())
    assert schemas["mining"] == json.loads(file.read_text())
