"""The statements of the documents about packages, settings and files are true."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from PIL import Image

from app.cli import arguments
from verification.reliability.trees import paint

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def _locked(name: str) -> set[str]:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    names = re.findall(r"^([A-Za-z0-9_.-]+)==", text, flags=re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


@pytest.mark.parametrize(
    "name",
    [
        "requirements.txt",
        "requirements-dev.txt",
        "requirements-uv.txt",
        "tests/client/requirements.txt",
    ],
)
def test_every_locked_package_has_its_licence_in_the_document(name: str) -> None:
    document = (REPOSITORY / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    words = set(re.findall(r"[a-z0-9_.-]+", document))
    assert _locked(name) - words == set()


@pytest.mark.parametrize("name", ["requirements", "requirements-dev", "requirements-uv"])
def test_every_direct_requirement_says_what_it_is_for(name: str) -> None:
    """`make licences` puts these comments into the document."""
    lines = (REPOSITORY / f"{name}.in").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "==" in line and "  # " not in line] == []


@pytest.mark.parametrize("name", ["requirements", "requirements-dev", "requirements-uv"])
def test_every_direct_requirement_is_locked_at_its_version(name: str) -> None:
    wanted = (REPOSITORY / f"{name}.in").read_text(encoding="utf-8")
    locked = (REPOSITORY / f"{name}.txt").read_text(encoding="utf-8").lower()
    pins = re.findall(r"^[A-Za-z0-9_.-]+==\S+", wanted, flags=re.MULTILINE)
    assert [pin for pin in pins if f"{pin.lower()} " not in locked] == []


@pytest.mark.parametrize("task", ["training", "mining", "infer"])
def test_the_readme_names_every_setting(task: str) -> None:
    template = REPOSITORY / "docker" / "img-man" / f"{task}-template.yaml"
    keys = yaml.safe_load(template.read_text(encoding="utf-8"))
    assert [key for key in keys if f"`{key}`" not in README] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_and_modules_that_a_document_names_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    files = re.findall(
        r"`((?:docker|docs|configs|executor|app|benchmarks|verification|tests)/[\w./-]*)`", text
    )
    modules = re.findall(r"python3? -m ((?:executor|app|benchmarks|verification)[\w.]*)", text)
    # Tests are named from their own folder on.
    folders = (REPOSITORY, REPOSITORY / "tests")
    assert [name for name in files if not any((f / name).exists() for f in folders)] == []
    assert [name for name in modules if find_spec(name.rstrip(".")) is None] == []


def test_the_commands_of_the_readme_are_understood() -> None:
    """As are their options, all before the KEY VALUE pairs."""
    whole_lines = README.replace("\\\n", " ")
    commands = re.findall(r"^detex (.*)$", whole_lines, flags=re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        options = arguments.parse(command.split())
        assert not [text for text in options.overrides if text.startswith("--")]


def test_the_image_is_built_from_files_that_its_context_holds() -> None:
    """Every COPY and bind mount of the Dockerfile is let through by .dockerignore."""
    allowed = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    names = {line[1:].split("/")[0] for line in allowed if line.startswith("!")}
    dockerfile = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?:--chmod=\S+ )?(?!--from)(\S+)", dockerfile, flags=re.MULTILINE)
    bound = re.findall(r"type=bind,source=([^,]+)", dockerfile)
    assert {path.split("/")[0] for path in [*copied, *bound]} <= names


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_python_of_a_page_runs(
    page: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    finding_models: Path,
) -> None:
    """On a model and a photograph of the names that it uses."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/models").symlink_to(finding_models)
    paint(tmp_path / "photo.jpg", 1)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / page).read_text(), flags=re.DOTALL)
    assert len(blocks) == 1
    exec(blocks[0], {})
    with Image.open("drawn.jpg") as drawn:
        assert min(drawn.size) == 400
    printed = capsys.readouterr().out.splitlines()
    if "print(" in blocks[0]:
        assert len(printed) == 100
        assert re.fullmatch(r"(red|blue) box 0\.\d+ \(.*\)", printed[0])
