"""The error of the contract that a user reads for each failure."""

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
        pytest.param(engine.ObjectKindError("x"), 2, 300005, id="kind of object"),
        pytest.param(engine.DownloadError("x"), 4, 300301, id="network"),
        pytest.param(engine.OutOfMemoryError("x"), 6, 300103, id="device memory"),
        pytest.param(torch.OutOfMemoryError("x"), 6, 300103, id="torch's device memory"),
        pytest.param(MemoryError(), 6, 300103, id="Python's memory"),
        pytest.param(allocation_failure(), 6, 300103, id="torch's memory of the host"),
        pytest.param(OSError(errno.ENOMEM, "x"), 6, 300103, id="memory for a process"),
        pytest.param(engine.DoesNotFitError("x"), 6, 300103, id="one image that does not fit"),
        pytest.param(OSError(errno.ENOSPC, "x", "/dev/shm/a"), 6, 300103, id="full shared memory"),
        pytest.param(engine.DivergedError("x"), 7, 300201, id="diverged"),
        pytest.param(OSError(errno.ENOSPC, "x", "/out/a"), 8, 160004, id="full disk"),
        pytest.param(OSError(errno.EIO, "x"), 8, 160004, id="broken disk"),
        pytest.param(OSError(errno.EROFS, "x", "/out/a"), 8, 160004, id="read-only disk"),
        pytest.param(PermissionError(errno.EACCES, "x", b"/out/a"), 8, 160004, id="closed folder"),
        pytest.param(OSError(errno.ESTALE, "x", "/out/a"), 8, 160004, id="stale handle"),
        pytest.param(OSError(errno.ENOTCONN, "x", b"/out/a"), 8, 160004, id="dead mount"),
        pytest.param(OSError(errno.ETIMEDOUT, "x"), 8, 160004, id="silent server"),
        pytest.param(OSError(errno.ENOTSUP, "x", "/out/a"), 8, 160004, id="another kind of mount"),
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


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        pytest.param(
            engine.DivergedError("it grew; lower SOLVER.BASE_LR"),
            "it grew; lower learning_rate",
            id="diverged",
        ),
        pytest.param(
            engine.OutOfMemoryError("lower SOLVER.IMS_PER_BATCH or INPUT.MIN_SIZE_TRAIN"),
            "lower batch_size or image_size",
            id="memory",
        ),
        pytest.param(
            engine.ConfigError("SOLVER.STEPS: give numbers"),
            "SOLVER.STEPS: give numbers",
            id="what stands in args_options keeps its name there",
        ),
    ],
)
def test_advice_names_what_config_yaml_can_set(error: Exception, advice: str):
    assert str(contract_error(error)) == advice


def test_want_of_memory_names_what_lowers_it():
    for key in ("batch_size", "image_size", "num_workers", "memory"):
        assert key in str(contract_error(MemoryError()))
