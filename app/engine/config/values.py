"""Convert text to a config value, and a new value to the type of the default.

As in detectron2, but more lenient: whole numbers and floats, and lists and tuples, can replace
each other; the value is converted to the type of the default.
"""

import ast
import warnings
from contextlib import suppress
from typing import Any

_KINDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a list",
    list: "a list",
}
_MAX_LITERAL = 100_000  # characters; longer text stays text


def decode(text: str) -> Any:
    """Return the value of a Python literal (`(1, 2)`, `1e-3`, `None`); other text unchanged."""
    if len(text) > _MAX_LITERAL:
        return text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return value if is_plain(value) else text


def is_plain(value: Any) -> bool:
    """Whether a config can hold `value`: None, bool, number, text, or lists of these."""
    if isinstance(value, list | tuple):
        return all(is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def coerce(new: Any, old: Any) -> Any:
    """Convert `new` to the type of `old`, which it replaces; ValueError if that is impossible."""
    value = decode(new) if isinstance(new, str) else new
    if not is_plain(value):
        raise ValueError(f"expected {_KINDS.get(type(old), 'a plain value')}")
    if old is None:
        return value
    if isinstance(old, str):
        if value is None:
            return "" if new is None else new
        value = value if isinstance(value, str) or not isinstance(new, str) else new
    elif isinstance(old, bool):
        value = {"true": True, "false": False}.get(str(new).lower(), value)
    elif isinstance(old, list | tuple) and isinstance(value, list | tuple):
        value = _in_kind_of(old, value)
    else:
        value = _number_as(old, value)
    if type(value) is not type(old):
        raise ValueError(f"expected {_KINDS[type(old)]} such as {old!r}")
    return value


def _in_kind_of(old: Any, new: Any) -> Any:
    """Convert lists and tuples of `new` to the type of `old`, items to that of its first item."""
    if not isinstance(old, list | tuple) or not isinstance(new, list | tuple):
        return _number_as(old, new)
    inner = old[0] if old else None
    return type(old)(_in_kind_of(inner, item) for item in new)


def _number_as(old: Any, new: Any) -> Any:
    """Convert a number to the type of `old` if that is exact; return other values unchanged."""
    if type(old) is float and type(new) in (int, str):  # `inf` is not a literal
        with suppress(OverflowError, ValueError):  # hundreds of digits, words
            return float(new)
    if type(old) is int and type(new) is float and new.is_integer():
        return int(new)
    return new
