"""Errors of the engine and of torch -> the contract's errors with their return codes."""

import errno

import torch

from app.engine import errors as engine
from executor import errors as contract

TABLE: tuple[tuple[type[BaseException], type[contract.ExecutorError]], ...] = (
    (engine.ConfigError, contract.ConfigError),
    (engine.DatasetError, contract.DatasetError),
    (engine.ImageError, contract.ImageError),
    (engine.CheckpointError, contract.ModelError),
    (engine.DivergedError, contract.DivergedError),
    (engine.OutOfMemoryError, contract.OutOfMemoryError),
    (torch.OutOfMemoryError, contract.OutOfMemoryError),
    (MemoryError, contract.OutOfMemoryError),
)
"""First match wins."""


def contract_error(error: BaseException) -> contract.ExecutorError | None:
    """The error a user should read, or None when `error` is a bug of ours."""
    if isinstance(error, contract.ExecutorError):
        return error
    for kind, replacement in TABLE:
        if isinstance(error, kind):
            return replacement(str(error).splitlines()[0] if str(error) else kind.__name__)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return contract.OutputError(
            f"{error.filename or 'the output folder'}: {error.strerror}; "
            "free some space or mount a larger, writable /out, then run again"
        )
    return None
