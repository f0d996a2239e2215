"""Validation of a YAML document; it names every wrong key at once, with line and column.

A message reads `config.yaml:LINE:COLUMN: key: what is wrong (got VALUE); allowed RANGE; remedy`.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from common.limited_yaml import Document, Location, Mark
from common.text import shortened
from executor.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)

_MISSPELT = 0.8  # difflib ratio from which an unknown key is taken for a misspelt one
_MAX_SHOWN = 60
_MAX_NAMED = 12  # keys in the line that counts the problems

_MESSAGES = {
    "missing": "missing; add this key",
    "bool_parsing": "not true or false",
    "bool_type": "not true or false",
    "int_parsing": "not an integer",
    "int_type": "not an integer",
    "int_from_float": "not an integer",
    "int_parsing_size": "not an integer of usual size",
    "float_parsing": "not a number",
    "float_type": "not a number",
    "finite_number": "not a finite number",
    "literal_error": "not one of the known words",
    "enum": "not one of the known words",
    "list_type": "not a list",
    "tuple_type": "not a list",
    "string_type": "not a text",
    "path_type": "not a path",
    "string_too_long": "too long",
    "greater_than": "too small",
    "greater_than_equal": "too small",
    "less_than": "too large",
    "less_than_equal": "too large",
    "model_type": "not a mapping",
    "model_attributes_type": "not a mapping",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong key.

    mark   its line and column
    text   the whole message
    key    its name in the line that counts the problems
    error  class of the error that ends the run if there is no other problem
    """

    mark: Mark
    text: str
    key: str
    error: type[ConfigError] = ConfigError


def validated(document: Document, values: Mapping[str, Any], model: type[Model]) -> Model:
    """Return `values` of `document` as a `model`; a ConfigError names every wrong value."""
    result = validate(document, values, model)
    if isinstance(result, list):
        raise config_error(document.path.name, result)
    return result


def validate(
    document: Document, values: Mapping[str, Any], model: type[Model]
) -> Model | list[Problem]:
    """Return `values` of `document` as a `model`, or the list of their problems."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        return [_problem(document, model, details) for details in error.errors()]


def config_error(name: str, problems: Iterable[Problem]) -> ConfigError:
    """Return one error for all problems in the file `name`, each once, in the order of the file.

    If there are several, the last line counts them and names their keys, because platforms show
    only the last five lines of a log.
    """
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: problem.mark)
    kinds = {problem.error for problem in ordered}
    error = kinds.pop() if len(kinds) == 1 else ConfigError
    lines = [problem.text for problem in ordered]
    if len(lines) > 1:
        lines.append(f"{len(lines)} problems in {name}: {_named(p.key for p in ordered)}")
    return error("\n".join(lines))


def _named(keys: Iterable[str]) -> str:
    names = list(dict.fromkeys(shown(key)[1:-1] for key in keys))
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def misspelt(key: str, known: Iterable[str]) -> str | None:
    """Return the known key that `key` probably misspells; None if there is none."""
    close = difflib.get_close_matches(key.lower(), sorted(known), n=1, cutoff=_MISSPELT)
    return close[0] if close else None


def shown(value: object) -> str:
    """Format a value for a message: short, on one line."""
    text = repr(value) if isinstance(value, str) else str(value)
    text = " ".join(text.split())
    return shortened(text, _MAX_SHOWN)


def allowed(schema: Mapping[str, Any]) -> str:
    """Describe a property's JSON schema in words, such as `an integer from 1 to 1024`."""
    if "enum" in schema:
        return "one of " + ", ".join(word or "''" for word in schema["enum"])
    for alternative in schema.get("anyOf", ()):
        if alternative.get("type") != "null":
            return allowed(alternative)
    if "$ref" in schema:
        return "a mapping"
    kind = schema.get("type")
    words = {"integer": "an integer", "number": "a number", "boolean": "true or false"}
    if kind == "array":
        return "a list"
    text = words.get(str(kind), "a text")
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None:
        text += f" from {low}"
    elif "exclusiveMinimum" in schema:
        text += f" above {schema['exclusiveMinimum']}"
    if high is not None:
        text += f" to {high}"
    return text


def _problem(document: Document, model: type[BaseModel], details: ErrorDetails) -> Problem:
    location: Location = details["loc"]
    key = ".".join(str(part) for part in location)
    schema = _property(model.model_json_schema(), location)
    what, _, more = _message(details).partition("; ")
    parts = [f"{document.where(location)}: {key}: {what}"]
    if details["type"] == "missing":
        return Problem(document.mark(location), f"{parts[0]}; {more}", key)
    parts[0] += f" (got {shown(details['input'])})"
    parts += [more] if more else []
    if details["type"] != "value_error":
        parts.append(f"allowed {allowed(schema)}")
    if "enum" in schema and details["type"] != "value_error":
        close = difflib.get_close_matches(str(details["input"]).lower(), schema["enum"], n=1)
        parts.extend(f"did you mean '{word}'?" for word in close)
    elif "default" in schema and schema["default"] not in ("", None, []):
        parts.append(f"leave it out for {_written(schema['default'])}")
    return Problem(document.mark(location), "; ".join(parts), key)


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _message(details: ErrorDetails) -> str:
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    return _MESSAGES.get(details["type"], details["msg"])


def _property(schema: Mapping[str, Any], location: Location) -> Mapping[str, Any]:
    """Return the part of a JSON schema that describes `location`; empty if there is none."""
    part: Mapping[str, Any] = schema
    for step in location:
        if "$ref" in part:
            part = schema["$defs"][part["$ref"].rsplit("/", 1)[-1]]
        part = part.get("items", {}) if isinstance(step, int) else part["properties"].get(step, {})
    return part
