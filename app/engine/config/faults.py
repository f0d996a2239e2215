"""What is wrong with a config, key by key, so that every fault can be told at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.engine.errors import ConfigError
from common.text import shortened

Leaves = dict[str, Any]
"""Dotted key -> value of a whole config."""

_MAX_SHOWN = 80  # characters of a value


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong key.

    key     dotted; '' for a file that cannot be read at all
    text    one sentence with the key, its value and what is allowed
    origin  where the value comes from (`file, line n`, `args_options`); '' where nobody knows
    others  keys with which it does not agree
    """

    key: str
    text: str
    origin: str = ""
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.origin}: {self.text}" if self.origin else self.text


def refuse(faults: Iterable[Fault]) -> None:
    """ConfigError with all of them, if there are any."""
    texts = dict.fromkeys(str(fault) for fault in faults)
    if texts:
        raise ConfigError("; ".join(texts))


def shown(value: object) -> str:
    """A value for a message, not too long."""
    text = repr(value)
    return shortened(text, _MAX_SHOWN)
