"""The errors that a user of the engine can meet, as a tree of classes.

EngineError (ValueError)
├── ConfigError      a config file, key or value
├── DatasetError     annotations or index: nothing to train on, unreadable file, ...
├── ImageError       one image cannot be read
│   ├── StorageError    its storage does not give the file, so its content is not known
│   └── DoesNotFitError  memory is too small for this one image (an OutOfMemoryError, too)
├── CheckpointError  weights missing, unreadable, unsafe, or of another model
│   └── DownloadError  weights not on this machine, and their download failed
├── ObjectKindError  a model finds another kind of object than it is asked for
├── ExportError     a model cannot be exported, or the exported one has other results
├── DivergedError    the loss became infinite, NaN or enormous and did not recover
├── OutOfMemoryError the device's memory does not suffice, even in the smallest parts
└── RankError        another process of a training was lost, again and again

Every message is one sentence: what was wrong, where, what to do.
"""

import errno
import re

from common.text import plain

_SIGNS_OF_MEMORY = re.compile(
    "|".join(
        (
            r"out of memory",  # CUDA, its driver, cuDNN
            r"allocate (shared )?memory",  # the system, torch, ONNX Runtime
            r"not enough memory",
            r"bad[_ ]alloc",  # C++
            r"alloc_failed",  # cuBLAS, cuDNN, cuFFT
            r"smaller than requested bytes",  # a limited arena of ONNX Runtime
            # oneDNN gives no reason; messages with "descriptor" are about unsupported operations.
            r"could not (create|execute) a primitive(?! desc)",
            r"could not create a memory(?! desc)",
            r"unable to mmap",
            r"shared memory ?\(shm\)",
            r"cublascreate",  # cuBLAS allocates memory when it is created
            r"unable to find a valid cudnn algorithm",
        )
    ),
    re.IGNORECASE,
)


class EngineError(ValueError):
    """An error that a user can correct; the message is `plain` text with the remedy."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(plain(a) if isinstance(a, str) else a for a in arguments))


class ConfigError(EngineError):
    """A config file, key or value is wrong."""


class DatasetError(EngineError):
    """The data set as a whole cannot be used."""


class ImageError(EngineError):
    """One image cannot be read."""


class StorageError(ImageError):
    """An image cannot be read from its storage: the file or the mount is missing, or access denied.

    Its content is not known, so reading can be tried again once the storage works.
    """

    def __init__(self, place: str, reason: str) -> None:
        """`reason` is the system's message ("Stale file handle")."""
        super().__init__(place, reason)
        self.place, self.reason = self.args

    def __str__(self) -> str:
        return (
            f"{self.place}: the image cannot be read from its storage ({self.reason}); check that"
            " it is there, and that its folder is mounted and open to the container's user"
        )


class CheckpointError(EngineError):
    """Weights are missing, unreadable, unsafe, or belong to another model."""


class DownloadError(CheckpointError):
    """Weights are not on this machine, and their download failed."""


class ObjectKindError(EngineError):
    """A model finds another kind of object than it is asked for."""


class ExportError(EngineError):
    """A model cannot be exported, or the exported model has other results."""


class DivergedError(EngineError):
    """The loss became infinite, NaN or enormous and did not recover."""


class OutOfMemoryError(EngineError):
    """The device's memory does not suffice, even in the smallest parts."""


class DoesNotFitError(ImageError, OutOfMemoryError):
    """Memory is too small for one image alone; with more memory it can be tried again."""


class RankError(EngineError):
    """Another process of a training failed or stopped answering."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory of the device or the host ran out; libraries have only messages for that."""
    if isinstance(error, MemoryError | OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    kind = type(error)
    if kind.__name__ == "OutOfMemoryError":  # torch's class, compared by name without importing it
        return True
    is_a_librarys = isinstance(error, RuntimeError) or kind.__module__.startswith("onnxruntime")
    return is_a_librarys and _SIGNS_OF_MEMORY.search(str(error)) is not None
