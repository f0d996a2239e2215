"""What can go wrong for a user of the engine, as a tree.

EngineError (ValueError)
├── ConfigError      a config file, key or value
├── DatasetError     annotations or index: nothing to train on, unreadable file, ...
├── ImageError       one image cannot be read
│   ├── StorageError    because its storage does not give it: what is in it is not known
│   └── DoesNotFitError  because memory is too small for it alone (an OutOfMemoryError, too)
├── CheckpointError  weights missing, unreadable, unsafe, or of another model
│   └── DownloadError  they are nowhere here and cannot be downloaded
├── ExportError     a model cannot be written for another program, or finds other things there
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
            # oneDNN keeps the reason to itself; what it cannot do, it says of descriptors.
            r"could not (create|execute) a primitive(?! desc)",
            r"could not create a memory(?! desc)",
            r"unable to mmap",
            r"shared memory ?\(shm\)",
            r"cublascreate",  # the library's first wish is for memory
            r"unable to find a valid cudnn algorithm",
        )
    ),
    re.IGNORECASE,
)


class EngineError(ValueError):
    """Something a user can put right; the message says how, in `plain` text."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(plain(a) if isinstance(a, str) else a for a in arguments))


class ConfigError(EngineError):
    """A config file, key or value is wrong."""


class DatasetError(EngineError):
    """The data set as a whole cannot be used."""


class ImageError(EngineError):
    """One image cannot be read."""


class StorageError(ImageError):
    """The storage does not give an image: it is missing, or a mount is wrong, closed or gone.

    What is in it is not known, so that it is worth another look once the storage is in order.
    """

    def __init__(self, place: str, reason: str) -> None:
        """`reason` in the system's words ("Stale file handle")."""
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
    """Weights are nowhere here and cannot be downloaded."""


class ExportError(EngineError):
    """A model cannot be written for another program, or would not find the same there."""


class DivergedError(EngineError):
    """The loss became infinite, NaN or enormous and did not recover."""


class OutOfMemoryError(EngineError):
    """The device's memory does not suffice, even in the smallest parts."""


class DoesNotFitError(ImageError, OutOfMemoryError):
    """Memory is too small for one image alone; it is worth another look where there is more."""


class RankError(EngineError):
    """Another process of a training failed or stopped answering."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory of the device or of the host ran out; libraries have only words for it."""
    if isinstance(error, MemoryError | OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    kind = type(error)
    if kind.__name__ == "OutOfMemoryError":  # torch's, which need not be there
        return True
    is_a_librarys = isinstance(error, RuntimeError) or kind.__module__.startswith("onnxruntime")
    return is_a_librarys and _SIGNS_OF_MEMORY.search(str(error)) is not None
