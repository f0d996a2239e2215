"""The errors that end a run; each class has a return code and an exit status.

ExecutorError            160004  exit 70   a fault of ours
├── ConfigError          300001  exit  2   env.yaml, config.yaml or a template value
│   └── ObjectTypeError  300005  exit  2   a kind of object this image does not handle
├── DatasetError         300002  exit  3   index or annotations as a whole
│   └── ImageError       300003  exit  3   images that cannot be read
├── ModelError           300004  exit  4   model missing, unsafe, or of another kind
│   └── NetworkError     300301  exit  4   weights could not be downloaded
├── DeviceError          300101  exit  5   driver and GPU do not fit this image
│   └── NoDeviceError    300102  exit  5   a GPU was asked for and none is there
├── OutOfMemoryError     300103  exit  6   memory of the host or of the GPU
├── DivergedError        300201  exit  7   the loss became NaN and did not recover
├── OutputError          160004  exit  8   /out is not writable, full, or locked
├── IncompleteError      160004  exit 75   part of the work is missing; start again to resume
└── StoppedError         160004  exit 143  stopped by SIGTERM after saving

`code` is the platform's return code (field 5 of monitor.txt, texts in its web pages); `exit_status`
is the process's. Every message is one sentence: what was wrong, where, what to do.
"""

from typing import ClassVar

from common.text import plain


class ExecutorError(ValueError):
    """An error that ends a run; the message says why and what to do.

    The message may quote foreign files: unprintable characters become blanks, long lines are cut.
    """

    code: ClassVar[int] = 160004
    exit_status: ClassVar[int] = 70

    def __init__(self, message: str) -> None:
        super().__init__(plain(message, instead=" "))


class ConfigError(ExecutorError):
    """env.yaml or config.yaml is wrong: one line for each wrong key."""

    code = 300001
    exit_status = 2


class ObjectTypeError(ConfigError):
    """The task asks for a kind of object that this image does not handle."""

    code = 300005


class DatasetError(ExecutorError):
    """The data set as a whole cannot be used."""

    code = 300002
    exit_status = 3


class ImageError(DatasetError):
    """The images cannot be read."""

    code = 300003


class ModelError(ExecutorError):
    """A model is missing, unreadable, unsafe, or does not fit the task."""

    code = 300004
    exit_status = 4


class NetworkError(ModelError):
    """Weights are not on this machine and cannot be downloaded."""

    code = 300301


class DeviceError(ExecutorError):
    """GPU, driver and this image do not fit together."""

    code = 300101
    exit_status = 5


class NoDeviceError(DeviceError):
    """A GPU was asked for and none is visible."""

    code = 300102


class OutOfMemoryError(ExecutorError):
    """The memory of the host, of /dev/shm or of the GPU is not enough."""

    code = 300103
    exit_status = 6


class DivergedError(ExecutorError):
    """The loss became infinite or NaN and did not recover."""

    code = 300201
    exit_status = 7


class OutputError(ExecutorError):
    """/out cannot be written, is full, or belongs to another run."""

    exit_status = 8


class IncompleteError(ExecutorError):
    """Part of the work is missing; the same run started again resumes it."""

    exit_status = 75


class StoppedError(ExecutorError):
    """The run was told to stop, and saved what it had."""

    exit_status = 143
