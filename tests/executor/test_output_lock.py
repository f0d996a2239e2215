import subprocess
import sys
from pathlib import Path

import pytest

from executor.errors import OutputError
from executor.output_lock import LOCK_NAME, output_lock

HOLDER = """
import sys
from pathlib import Path
from executor.output_lock import output_lock
with output_lock(Path(sys.argv[1]), "run seven"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_at_a_time_and_free_after_a_kill(tmp_path: Path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match="locked by run seven"), output_lock(tmp_path, "me"):
            pass
        holder.kill()
        holder.wait()
        with output_lock(tmp_path, "me"):
            pass


def test_again_in_the_same_process(tmp_path: Path):
    for holder in ("first", "second"):
        with output_lock(tmp_path, holder):
            assert (tmp_path / LOCK_NAME).read_text() == holder
            with (
                pytest.raises(OutputError, match=f"locked by {holder}"),
                output_lock(tmp_path, "another"),
            ):
                pass


def test_no_folder(tmp_path: Path):
    with pytest.raises(OutputError, match="cannot be written"), output_lock(tmp_path / "x", "me"):
        pass
