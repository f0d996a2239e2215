"""Errors of the engine and of torch -> the contract's errors with their return codes."""

import errno
import logging
import os

from app.engine import errors as engine
from executor import errors as contract

logger = logging.getLogger("app.tasks")

TABLE: tuple[tuple[type[BaseException], type[contract.ExecutorError]], ...] = (
    (engine.ConfigError, contract.ConfigError),
    (engine.DatasetError, contract.DatasetError),
    (engine.ImageError, contract.ImageError),
    (engine.DownloadError, contract.NetworkError),
    (engine.CheckpointError, contract.ModelError),
    (engine.ExportError, contract.ModelError),
    (engine.DivergedError, contract.DivergedError),
    (engine.OutOfMemoryError, contract.OutOfMemoryError),
    (engine.RankError, contract.IncompleteError),
)
"""First match wins."""

_OUTPUT_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)


def told(error: Exception) -> contract.ExecutorError:
    """The error to report; a bug of ours is logged with its traceback."""
    known = contract_error(error)
    if known is not None:
        return known
    logger.error("unexpected error", exc_info=error)
    return contract.ExecutorError(
        f"a fault of this image: {type(error).__name__}: {error}; "
        "please report it with the log above"
    )


def contract_error(error: BaseException) -> contract.ExecutorError | None:
    """The error a user should read, or None when `error` is a bug of ours."""
    if isinstance(error, contract.ExecutorError):
        return error
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    for kind, replacement in TABLE:
        if isinstance(error, kind):
            return replacement(first_line)
    if engine.is_out_of_memory(error) or getattr(error, "errno", None) == errno.ENOMEM:
        return contract.OutOfMemoryError(
            f"memory ran out ({first_line}); use a smaller batch_size or image_size, fewer "
            "num_workers, or give the container more memory"
        )
    if isinstance(error, PermissionError) and error.filename:
        return contract.OutputError(
            f"{os.fsdecode(error.filename)}: {error.strerror}; let the container's user in there"
            " (docker run --user), or mount another folder"
        )
    if isinstance(error, OSError) and error.errno in _OUTPUT_FAULTS:
        place = error.filename or "the output folder"
        return contract.OutputError(
            f"{place}: {error.strerror}; free some space or mount a larger, sound, writable /out,"
            " then start again to resume"
        )
    return None
