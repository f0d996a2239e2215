"""The findings of `detex doctor` on machines that lack something."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.detex import doctor
from app.detex.doctor import Finding
from tests.app.detex.conftest import Detex

GIB = 1 << 30


def a_lock(tmp_path: Path, *pins: str) -> Finding:
    lock = tmp_path / "requirements.txt"
    lock.write_text("".join(f"{pin} \\\n    --hash=sha256:0\n" for pin in pins))
    return doctor.packages(lock)


@pytest.mark.parametrize(
    ("look", "seen", "remedy", "status"),
    [
        pytest.param(lambda p: doctor.python(), "Linux", "", 0, id="Python"),
        pytest.param(
            lambda p: doctor.packages(p / "none"), "no requirements.txt", "", 0, id="image"
        ),
        pytest.param(lambda p: a_lock(p), "0 as requirements.txt", "", 0, id="as pinned"),
        pytest.param(
            lambda p: a_lock(p, "typer==0.0.1", "no-such-package==2"),
            "2 differ from requirements.txt: typer",
            "make setup",
            0,
            id="other packages",
        ),
        pytest.param(lambda p: doctor.memory(512 << 20), "0.5 GiB (limit", "3 GiB", 6, id="tiny"),
        pytest.param(lambda p: doctor.memory(2 * GIB), "2.0 GiB (limit", "3 GiB", 0, id="little"),
        pytest.param(lambda p: doctor.shared_memory(p / "none"), "none", "--shm-size", 0, id="shm"),
        pytest.param(lambda p: doctor.disk(p), "GiB free", "", 0, id="disk"),
        pytest.param(lambda p: doctor.writable("x", p), "can be written", "", 0, id="writable"),
        pytest.param(
            lambda p: doctor.writable("x", Path("/proc")), "/proc:", "", 8, id="not writable"
        ),
    ],
)
def test_findings(
    tmp_path: Path, look: Callable[[Path], Finding], seen: str, remedy: str, status: int
) -> None:
    found = look(tmp_path)
    assert seen in found.seen
    assert remedy in found.remedy
    assert found.status == status
    assert bool(found.remedy) == bool(remedy or status)


def test_a_report_ends_with_the_status_of_the_first_fault(monkeypatch: Any, capsys: Any) -> None:
    findings = [
        Finding("a", "x"),
        Finding("b", "y", "do that", 5),
        Finding("c", "z", "do this", 8),
        Finding("d", "little", "give more"),
    ]
    monkeypatch.setattr(doctor, "findings_of", lambda folder: iter(findings))
    assert doctor.report(Path(), as_json=False) == 5
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["ok", "WRONG", "->", "WRONG", "->", "look", "->"]
    assert doctor.report(Path(), as_json=True) == 5
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["findings"][1]["remedy"]) == (5, "do that")


def test_this_machine(detex: Detex, tmp_path: Path) -> None:
    done = detex("doctor", "--out", "new/folder", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert done.returncode == told["status"]
    names = [finding["name"] for finding in told["findings"]]
    assert names[:2] == ["Python", "packages"]
    assert {"torch", "GPU", "bfloat16", "processors", "memory", "shared memory"} <= set(names)
    assert {"disk", "results", "temporary files", "weights"} <= set(names)
    assert not (tmp_path / "new").exists()
