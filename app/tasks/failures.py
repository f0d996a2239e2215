"""Errors of the engine and of torch -> the contract's errors with their return codes."""

import errno
import logging
import os

from app.engine import errors as engine
from app.tasks.args_options import OWNED_KEYS
from common.storage import LOST, remedy
from common.text import first_line
from executor import errors as contract

logger = logging.getLogger("app.tasks")

TABLE: tuple[tuple[type[BaseException], type[contract.ExecutorError]], ...] = (
    (engine.ConfigError, contract.ConfigError),
    (engine.DatasetError, contract.DatasetError),
    (engine.OutOfMemoryError, contract.OutOfMemoryError),
    (engine.ImageError, contract.ImageError),
    (engine.DownloadError, contract.NetworkError),
    (engine.CheckpointError, contract.ModelError),
    (engine.ObjectKindError, contract.ObjectTypeError),
    (engine.ExportError, contract.ModelError),
    (engine.DivergedError, contract.DivergedError),
    (engine.RankError, contract.IncompleteError),
)
"""The first matching row is used."""

_ADVICE = (engine.OutOfMemoryError, engine.DivergedError)
"""Errors whose messages name keys of the engine's config."""

_KEYS_OF_CONFIG = {
    **OWNED_KEYS,
    "INPUT.MIN_SIZE_TRAIN": "image_size",
    "INPUT.MIN_SIZE_TEST": "image_size",
}
"""The engine's keys -> their names in config.yaml, where platform users set them."""

_SHARED_MEMORY = "/dev/shm"
_STORAGE_FAULTS = LOST | {errno.EROFS, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV}


def told(error: Exception) -> contract.ExecutorError:
    """Return the error to report; a bug of ours is logged with its traceback."""
    known = contract_error(error)
    if known is not None:
        return known
    logger.error("unexpected error", exc_info=error)
    return contract.ExecutorError(
        f"a fault of this image: {type(error).__name__}: {error}; "
        "please report it with the log above"
    )


def contract_error(error: BaseException) -> contract.ExecutorError | None:
    """Return the error that a user should read, or None if `error` is a bug of ours."""
    if isinstance(error, contract.ExecutorError):
        return error
    line = first_line(error)
    for kind, replacement in TABLE:
        if isinstance(error, kind):
            return replacement(in_words_of_config(line) if isinstance(error, _ADVICE) else line)
    if engine.is_out_of_memory(error):
        return contract.OutOfMemoryError(
            f"memory ran out ({line}); use a smaller batch_size or image_size, fewer "
            "num_workers, or give the container more memory"
        )
    if isinstance(error, OSError) and _is_full_shared_memory(error):
        return contract.OutOfMemoryError(
            f"shared memory is full ({line}); raise shm_size (docker run --shm-size) or lower "
            "num_workers"
        )
    if isinstance(error, PermissionError) and error.filename:
        return contract.OutputError(
            f"{os.fsdecode(error.filename)}: {error.strerror}; let the container's user in there"
            " (docker run --user), or mount another folder"
        )
    if isinstance(error, OSError) and error.errno in _STORAGE_FAULTS:
        place = os.fsdecode(error.filename) if error.filename else "the output folder"
        return contract.OutputError(
            f"{place}: {error.strerror}; {remedy(error)}, then start again to resume"
        )
    return None


def in_words_of_config(advice: str) -> str:
    """Replace the engine's keys in a text by their names in config.yaml."""
    for key, name in _KEYS_OF_CONFIG.items():
        advice = advice.replace(key, name)
    return advice


def _is_full_shared_memory(error: OSError) -> bool:
    path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    return error.errno in (errno.ENOSPC, errno.EDQUOT) and path.startswith(_SHARED_MEMORY)
