"""The properties of the image, and the files that it must not hold."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.image

MAX_BYTES = 6_800_000_000
HARDENED = ("--user", "4711:4711", "--read-only", "--tmpfs", "/tmp")


def test_the_templates_are_the_repository_s_and_nothing_else_is_said(
    runner: Any, repository: Path
) -> None:
    wanted = sorted((repository / "docker/img-man").glob("*.yaml"))
    assert len(wanted) == 4
    for file in wanted:
        done = runner.run("cat", f"/img-man/{file.name}")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == file.read_text(encoding="utf-8")


def test_commands_replace_the_executor(runner: Any) -> None:
    """The entry point adds nothing to a command, and nothing probes the container at work."""
    entry = ["/usr/bin/tini", "--", "/usr/bin/entry.sh"]
    assert runner.inspect(".Config.Entrypoint") == entry
    assert runner.inspect(".Config.Cmd") == ["/bin/bash", "/usr/bin/start.sh"]
    assert runner.inspect(".Config.StopSignal") == "SIGTERM"
    assert runner.inspect(".Config.Healthcheck") is None
    assert runner.inspect(".Config.Volumes") is None
    assert runner.inspect(".Config.ExposedPorts") is None


@pytest.mark.parametrize(
    ("command", "status", "word"),
    [
        pytest.param(("--help",), 0, "Commands:", id="options are detex's"),
        pytest.param(("--hlep",), 2, "No such option: --hlep", id="wrong ones, too"),
        pytest.param(("detex", "schema", "mining"), 0, "mining_algorithm", id="detex by its name"),
        pytest.param(("detex", "doctor", "--out", "/tmp"), 0, "processors", id="its doctor"),
        pytest.param(("sh", "-c", "echo $0 $#", "-x"), 0, "-x 0", id="options of another command"),
        pytest.param(("/bin/false",), 1, "", id="the status of another command"),
    ],
)
def test_detex_has_options_and_its_name(
    runner: Any, command: tuple[str, ...], status: int, word: str
) -> None:
    done = runner.run(*command, options=HARDENED)
    assert (done.returncode, word in done.stdout + done.stderr) == (status, True), done.stderr


def test_labels(runner: Any) -> None:
    labels = runner.inspect(".Config.Labels")
    prefix = "org.opencontainers.image."
    wanted = {"title", "description", "version", "revision", "licenses"}
    assert {f"{prefix}{name}" for name in wanted} <= labels.keys()
    assert labels[f"{prefix}licenses"] == "Apache-2.0"
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", labels[f"{prefix}revision"])


def test_the_default_user_is_a_number_and_not_root(runner: Any) -> None:
    assert runner.inspect(".Config.User") == "10001:0"
    assert runner.run("id", "-u").stdout.strip() == "10001"


def test_size(runner: Any) -> None:
    assert runner.inspect(".Size") <= MAX_BYTES


def test_no_installer_compiler_or_other_tool_of_the_build(runner: Any) -> None:
    tools = "pip pip3 uv uvx git gcc cc g++ c++ make ld curl wget ssh"
    assert runner.run("sh", "-c", f"command -v {tools}").stdout == ""
    modules = "pip", "uv", "ensurepip", "pytest", "demo"
    code = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    assert runner.run("python3", "-c", code, *modules).stdout.strip() == "[]"


def test_nothing_of_the_build_is_left(runner: Any) -> None:
    places = "/run/secrets /opt/uv /opt/.uv-cache /tmp /src /root/.cache /var/lib/apt/lists"
    script = f"find {places} -mindepth 1 -type f 2>/dev/null"
    assert runner.run("sh", "-c", script, options=("--user", "0:0")).stdout == ""


def test_history_and_variables_tell_no_secret(runner: Any) -> None:
    told = runner.history() + json.dumps(runner.inspect(".Config"))
    leaks = r"BEGIN CERTIFICATE|password|token=|index.url|https?://|_proxy="
    assert re.findall(leaks, told, flags=re.IGNORECASE) == []


def test_everything_belongs_to_root_and_everybody_may_read_it(runner: Any) -> None:
    places = "/app /opt /img-man /usr/bin/start.sh /usr/bin/entry.sh /usr/bin/detex"
    odd = r"\( ! -user root -o ! -type l \( -perm /022 -o ! -perm -o=r \) \)"
    assert runner.run("sh", "-c", f"find {places} {odd}").stdout == ""


def test_python_files_are_compiled(runner: Any) -> None:
    """On a read-only root they never would be later, and `import torch` took three times longer."""
    code = (
        "from pathlib import Path; from importlib.util import cache_from_source as c\n"
        "for root in ('/app', '/opt/venv/lib/python3.11/site-packages/torch/nn'):\n"
        "    files = list(Path(root).rglob('*.py'))\n"
        "    print(len(files) > 50, [f for f in files if not Path(c(str(f))).is_file()])"
    )
    assert runner.run("python3", "-c", code).stdout.splitlines() == ["True []"] * 2


def test_people_can_use_the_command_line(runner: Any) -> None:
    done = runner.run("python3", "-m", "app.cli", "--help", options=HARDENED)
    assert done.returncode == 0
    assert {"train", "evaluate", "detect", "export"} <= set(re.findall(r"\w+", done.stdout))


def test_the_environment_is_that_of_the_lock(runner: Any, repository: Path) -> None:
    """Torch with CUDA 13, and a user without a name may ask for it."""
    code = (
        "import getpass, json, torch, torchvision\n"
        "print(json.dumps([torch.__version__, torch.version.cuda, getpass.getuser()]))"
    )
    done = runner.run("python3", "-c", code, options=HARDENED)
    torch, cuda, user = json.loads(done.stdout)
    lock = (repository / "requirements.txt").read_text(encoding="utf-8")
    assert f"\ntorch=={torch.split('+')[0]} " in lock
    assert (cuda.split(".")[0], user) == ("13", "executor")


@pytest.fixture(scope="module")
def bill_of_materials(repository: Path) -> dict[str, Any]:
    """What `make sbom` wrote for this image."""
    path = repository / "build/sbom.cdx.json"
    if not path.is_file():
        pytest.skip("there is no build/sbom.cdx.json; `make sbom` writes it")
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_bill_of_materials_lists_what_is_installed(
    runner: Any, bill_of_materials: dict[str, Any]
) -> None:
    listed = {component["purl"].split("?")[0] for component in bill_of_materials["components"]}
    code = (
        "import re; from importlib.metadata import distributions\n"
        "for d in distributions():\n"
        "    print('pkg:pypi/' + re.sub('[-_.]+', '-', d.name).lower() + '@' + d.version)"
    )
    python = set(runner.run("python3", "-c", code).stdout.split())
    assert python <= listed
    assert any(re.match(r"pkg:pypi/torch@\d", url) for url in python)
    query = ("dpkg-query", "-W", "-f", "${Package}\\n")
    debian = set(runner.run(*query).stdout.split())
    assert {"bash", "python3", "tini"} <= debian
    names = {component["name"] for component in bill_of_materials["components"]}
    assert debian <= names


def test_the_bill_of_materials_names_no_package_index(bill_of_materials: dict[str, Any]) -> None:
    addresses = re.findall(r"\w+://[^\"\s]+", json.dumps(bill_of_materials))
    assert set(addresses) <= {"http://cyclonedx.org/schema/bom-1.6.schema.json"}


def test_every_debian_package_is_in_the_list_of_licences(runner: Any, repository: Path) -> None:
    document = (repository / "docs/dependencies.md").read_text(encoding="utf-8")
    words = set(re.findall(r"[a-z0-9+.-]+", document))
    query = ("dpkg-query", "-W", "-f", "${Package}\\n")
    assert set(runner.run(*query).stdout.split()) - words == set()
