"""The faults of a config, collected so that all of them can be reported at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.engine.errors import ConfigError
from common.text import shortened

Leaves = dict[str, Any]
"""Dotted key -> value, for all keys of a config."""

_MAX_SHOWN = 80  # characters of a value


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong key.

    key     dotted key; '' for a file that cannot be read
    text    one sentence with the key, its value and what is allowed
    origin  where the value comes from (`file, line n`, `args_options`); '' if not known
    others  keys that it contradicts
    """

    key: str
    text: str
    origin: str = ""
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.origin}: {self.text}" if self.origin else self.text


def refuse(faults: Iterable[Fault]) -> None:
    """Raise ConfigError with all faults, if there are any."""
    texts = dict.fromkeys(str(fault) for fault in faults)
    if texts:
        raise ConfigError("; ".join(texts))


def shown(value: object) -> str:
    """Format a value for a message, shortened if it is long."""
    text = repr(value)
    return shortened(text, _MAX_SHOWN)
