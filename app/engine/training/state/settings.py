"""The settings of a run. Checkpoints hold them, so that changes can be logged on resuming."""

import hashlib
import logging
from collections.abc import Mapping, Sequence

from app.engine.config import CfgNode
from app.engine.structures.record import ImageRecord

logger = logging.getLogger(__name__)

Settings = dict[str, str]
"""Dotted key -> value as text."""

Changes = dict[str, tuple[str, str]]
"""Key -> the old value and the new value."""

TRAINING_SET = "training set"
VALIDATION_SET = "validation set"

_SECTIONS = ("SOLVER", "INPUT", "DATALOADER", "TEST", "MODEL")
_ABOUT_THE_MACHINE = ("MODEL.DEVICE", "MODEL.CLASS_NAMES", "DATALOADER.NUM_WORKERS")

INITIAL_WEIGHTS = "MODEL.WEIGHTS"
_CURES = ("SOLVER.", "INPUT.", "DATALOADER.", TRAINING_SET)
_NO_CURE = (
    "SOLVER.MAX_ITER",
    "SOLVER.MAX_MINUTES",
    "SOLVER.ACCUMULATE",
    "SOLVER.CHECKPOINT_PERIOD",
)
_OF_LENGTH = ("SOLVER.STEPS", "SOLVER.WARMUP_ITERS")
_JUDGES = ("TEST.METRIC", VALIDATION_SET)


def settings_of(
    cfg: CfgNode, train_records: Sequence[ImageRecord], val_records: Sequence[ImageRecord]
) -> Settings:
    """Return all settings that affect the trained model, except those of machine and seed."""
    leaves = {
        f"{section}.{key}": str(value)
        for section in _SECTIONS
        for key, value in cfg[section].leaves()
    }
    settings = {key: value for key, value in leaves.items() if key not in _ABOUT_THE_MACHINE}
    settings[TRAINING_SET] = _summary(train_records)
    settings[VALIDATION_SET] = _summary(val_records)
    return settings


def changes_between(before: Mapping[str, str] | None, now: Mapping[str, str]) -> Changes:
    """Return the changed settings; keys that `before` does not hold are skipped."""
    known = before or {}
    return {k: (known[k], now[k]) for k in now if k in known and known[k] != now[k]}


def is_another_try(changes: Changes) -> bool:
    """Return whether a diverged run may succeed now: more has changed than its length."""
    ignored = _NO_CURE + (_OF_LENGTH if "SOLVER.MAX_ITER" in changes else ())
    return any(key.startswith(_CURES) and key not in ignored for key in changes)


def is_judged_otherwise(changes: Changes) -> bool:
    """Return whether the metrics of earlier models cannot be compared with new ones."""
    return any(key in changes for key in _JUDGES)


def tell(changes: Changes, *, remedy: str) -> None:
    """Log the settings that apply from now on and the ignored ones; `remedy` applies those too."""
    taken = {key: pair for key, pair in changes.items() if key != INITIAL_WEIGHTS}
    if taken:
        logger.info(
            "From here on the run has other settings: %s",
            "; ".join(f"{key} {new} (was {old})" for key, (old, new) in taken.items()),
        )
    if INITIAL_WEIGHTS in changes:
        old, new = changes[INITIAL_WEIGHTS]
        logger.warning(
            "MODEL.WEIGHTS %r is not taken: the run began with %r and goes on from its checkpoint; "
            "%s to begin with the new weights",
            new,
            old,
            remedy,
        )
    if is_judged_otherwise(changes):
        logger.warning(
            "The models of the run so far were measured otherwise (%s): what is measured from here "
            "on is not compared with them",
            ", ".join(key for key in _JUDGES if key in changes),
        )


def _summary(records: Sequence[ImageRecord]) -> str:
    """Summarise images and objects regardless of their order, which index files may change."""
    total = sum(_digest(record) for record in records) % 2**64
    num_objects = sum(len(record) for record in records)
    return f"{len(records)} images with {num_objects} objects [{total:016x}]"


def _digest(record: ImageRecord) -> int:
    # Only the last two parts of the path count, since the same set may lie in another folder.
    name = "/".join(record.path.parts[-2:]).encode("utf-8", "surrogateescape")
    parts = (name, record.boxes.tobytes(), record.classes.tobytes())
    return int.from_bytes(hashlib.blake2b(b"\0".join(parts), digest_size=8).digest(), "big")
