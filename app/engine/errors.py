"""What can go wrong for a user of the engine, as a tree.

EngineError (ValueError)
├── ConfigError      a config file, key or value
├── DatasetError     annotations or index: nothing to train on, unreadable file, ...
├── ImageError       one image cannot be read
├── CheckpointError  weights missing, unreadable, unsafe, or of another model
├── DivergedError    the loss became infinite or NaN and did not recover
└── OutOfMemoryError the device's memory does not suffice, even in the smallest parts

Every message is one sentence: what was wrong, where, what to do.
"""


class EngineError(ValueError):
    """Something a user can put right; the message says how."""


class ConfigError(EngineError):
    """A config file, key or value is wrong."""


class DatasetError(EngineError):
    """The data set as a whole cannot be used."""


class ImageError(EngineError):
    """One image cannot be read."""


class CheckpointError(EngineError):
    """Weights are missing, unreadable, unsafe, or belong to another model."""


class DivergedError(EngineError):
    """The loss became infinite or NaN and did not recover."""


class OutOfMemoryError(EngineError):
    """The device's memory does not suffice, even in the smallest parts."""
