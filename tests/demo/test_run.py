"""A second demo does not disturb one that is running."""

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
