import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection

import pytest

from common.child import Child

PARENT = """
import time
from common.child import Child
from tests.common.test_child import sleep

if __name__ == "__main__":
    child = Child(sleep, name="child")
    print(child.connection.recv(), flush=True)
    time.sleep(60)
"""


def echo(connection: Connection, greeting: str) -> None:
    connection.send(greeting)
    connection.send(connection.recv())


def sleep(connection: Connection) -> None:
    connection.send(os.getpid())
    time.sleep(60)


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_pipe_leads_to_it() -> None:
    child = Child(echo, "hello", name="child")
    child.connection.send("and back")
    assert [child.connection.recv(), child.connection.recv()] == ["hello", "and back"]
    with pytest.raises(EOFError):
        child.connection.recv()
    child.end(patience_s=5)
    assert child.process.exitcode == 0


def test_stop_signals_are_the_parent_s_and_the_end_is_certain() -> None:
    child = Child(sleep, name="child")
    pid = child.connection.recv()
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(pid, number)
    child.process.join(timeout=0.3)
    assert child.process.exitcode is None
    child.end()
    assert child.process.exitcode == -signal.SIGKILL


def test_it_dies_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(pid)
