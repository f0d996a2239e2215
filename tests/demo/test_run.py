"""A second demo does not disturb one that is running."""

import shutil
import subprocess
from pathlib import Path

import pytest

from demo import run
from executor.output_lock import output_lock


def test_a_second_demo_is_refused_and_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(run, "OUTPUT", tmp_path)
    monkeypatch.setattr(run, "_run", lambda: begun.append("demo"))
    with (
        output_lock(tmp_path, "process 7 since noon"),
        pytest.raises(SystemExit, match=r"a demo runs already.*process 7 since noon"),
    ):
        run.main()
    assert begun == []
    run.main()
    assert begun == ["demo"]


@pytest.mark.skipif(
    shutil.which("make") is None or shutil.which("flock") is None, reason="no make or no flock"
)
def test_make_clean_refuses_while_a_demo_runs(tmp_path: Path) -> None:
    shutil.copy(run.REPOSITORY / "Makefile", tmp_path)
    (tmp_path / "demo-out").mkdir()
    (tmp_path / "requirements.txt").touch()

    def clean() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", "clean"], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    with output_lock(tmp_path / "demo-out", "process 7 since noon"):
        done = clean()
    assert done.returncode != 0
    assert "a demo runs (process 7 since noon)" in done.stderr
    assert (tmp_path / "demo-out").is_dir()
    assert clean().returncode == 0
    assert not (tmp_path / "demo-out").exists()
