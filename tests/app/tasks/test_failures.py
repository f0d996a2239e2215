"""Which error of the contract a user reads for which failure."""

import errno

import pytest
import torch

from app.engine import errors as engine
from app.tasks.failures import contract_error


def allocation_failure() -> RuntimeError:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    return caught.value


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        pytest.param(engine.ConfigError("x"), 2, 300001, id="config"),
        pytest.param(engine.ImageError("x"), 3, 300003, id="image"),
        pytest.param(engine.CheckpointError("x"), 4, 300004, id="checkpoint"),
        pytest.param(engine.DownloadError("x"), 4, 300301, id="network"),
        pytest.param(engine.OutOfMemoryError("x"), 6, 300103, id="device memory"),
        pytest.param(torch.OutOfMemoryError("x"), 6, 300103, id="torch's device memory"),
        pytest.param(MemoryError(), 6, 300103, id="Python's memory"),
        pytest.param(allocation_failure(), 6, 300103, id="torch's memory of the host"),
        pytest.param(OSError(errno.ENOMEM, "x"), 6, 300103, id="memory for a process"),
        pytest.param(engine.DivergedError("x"), 7, 300201, id="diverged"),
        pytest.param(OSError(errno.ENOSPC, "x", "/out/a"), 8, 160004, id="full disk"),
        pytest.param(OSError(errno.EIO, "x"), 8, 160004, id="broken disk"),
        pytest.param(OSError(errno.EROFS, "x", "/out/a"), 8, 160004, id="read-only disk"),
        pytest.param(PermissionError(errno.EACCES, "x", b"/out/a"), 8, 160004, id="closed folder"),
        pytest.param(engine.RankError("x"), 75, 160004, id="a process lost again and again"),
    ],
)
def test_known_failures(error: Exception, status: int, code: int):
    known = contract_error(error)
    assert known is not None
    assert (known.exit_status, known.code) == (status, code)
    assert "\n" not in str(known)


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("shapes"), OSError(2, "x")])
def test_others_are_bugs(error: Exception):
    assert contract_error(error) is None
