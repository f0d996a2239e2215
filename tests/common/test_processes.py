"""Processes that end with their parent; each case is a small family of real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prctl belongs to Linux")

CHILD = """
import os, sys, time
from common.processes import {how}
{how}(int(sys.argv[1]))
open(sys.argv[2], "w").write(str(os.getpid()))
time.sleep(60)
"""
PARENT = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid()), sys.argv[2]])
time.sleep(60)
"""


def pid_in(file: Path) -> int:
    """The number that a process has written, once it has."""
    for _ in range(600):
        if file.exists() and file.read_text():
            return int(file.read_text())
        time.sleep(0.05)
    raise AssertionError(f"{file} was not written")


def ends(pid: int) -> bool:
    """Whether a process is gone, or only waits to be collected, within 10 seconds."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("how", ["die_with", "follow"])
def test_a_child_ends_with_its_killed_parent(how: str, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD.format(how=how), str(file)])
    child = pid_in(file)
    try:
        parent.kill()
        parent.wait()
        assert ends(child)
    finally:
        subprocess.run(["kill", "-9", str(child)], check=False, stderr=subprocess.DEVNULL)


def test_a_child_whose_parent_is_gone_ends_at_once(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    command = [sys.executable, "-c", CHILD.format(how="die_with"), str(os.getpid() + 1), str(file)]
    assert subprocess.run(command, check=False, timeout=30).returncode == 1
    assert not file.exists()


def test_only_the_parent_stops_a_child_that_follows(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    command = [sys.executable, "-c", CHILD.format(how="follow"), str(os.getpid()), str(file)]
    child = subprocess.Popen(command)
    pid_in(file)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            child.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=0.3)
    finally:
        child.kill()
        child.wait()


ADOPTER = """
import os, subprocess, sys, time
from common.processes import adopt_orphans
adopt_orphans()
script = "import subprocess, sys; print(subprocess.Popen(['sleep', '20'], stdout=-3).pid)"
orphan = int(subprocess.run([sys.executable, "-c", script], stdout=-1, check=True).stdout)
fields = open(f"/proc/{orphan}/stat").read().rpartition(") ")[2].split()
print(int(fields[1]) == os.getpid())
os.kill(orphan, 9)
"""


def test_orphans_are_adopted() -> None:
    done = subprocess.run([sys.executable, "-c", ADOPTER], capture_output=True, check=True)
    assert done.stdout == b"True\n"
