"""Safe reading of foreign YAML within limits; every scalar stays the text that was written.

YAML 1.1 would turn `no` into false, `012` into ten and `12:30` into 750, but leave `1e-3` a
string. The models that receive the values know which type each key has.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import yaml

Value = str | list["Value"] | dict[str, "Value"]
Location = tuple[str | int, ...]

MAX_BYTES = 1 << 20
MAX_DEPTH = 8
MAX_NODES = 200_000  # counted with every alias expanded: a small file can expand to a huge one

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "seq", "map")
) | {None, "!"}


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A line and column of a text file, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Document:
    """A YAML mapping with the position of each of its keys and items."""

    path: Path
    value: dict[str, Value]
    marks: Mapping[Location, Mark] = field(default_factory=lambda: MappingProxyType({}))

    def mark(self, location: Location) -> Mark:
        """Return the mark of the innermost part of `location` in the file, else of its start."""
        for end in range(len(location), 0, -1):
            if location[:end] in self.marks:
                return self.marks[location[:end]]
        return Mark(1, 1)

    def where(self, location: Location) -> str:
        """Return `file:line:column` of a location."""
        mark = self.mark(location)
        return f"{self.path.name}:{mark.line}:{mark.column}"


class YamlError(ValueError):
    """A file that cannot be read, is not YAML or exceeds the limits; the message says where."""


def read_yaml(path: Path) -> Document:
    """Read the mapping in `path`, empty for an empty file; every fault is a YamlError."""
    raw = read_limited(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise YamlError(f"{path.name}:{line}:1: not UTF-8 text; save it as UTF-8") from error
    return parse_yaml(text, path)


def read_limited(path: Path) -> bytes:
    """Return the content of a file of settings; YamlError if it is too large or unreadable."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise YamlError(
            f"{path}: cannot be read ({error.strerror}); check the path and what is mounted"
        ) from error
    if len(raw) > MAX_BYTES:
        raise YamlError(f"{path}: larger than {MAX_BYTES} bytes; settings are small files")
    return raw


def parse_yaml(text: str, path: Path) -> Document:
    """Parse a text that was read from `path`; see `read_yaml`."""
    builder = _Builder(path, yaml.parse(text, Loader=_LOADER))
    try:
        value = builder.document()
    except yaml.MarkedYAMLError as error:
        raise YamlError(f"{path.name}{_reason(text, error)}") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise YamlError(f"{path.name}: not valid YAML: {reason}") from error
    return Document(path, value, MappingProxyType(builder.marks))


_REASONS = (
    ("mapping values are not allowed", "a second colon; write one `key: value` per line, all keys "
     "in the same column, and quotes around a text that holds a colon and a blank"),
    ("cannot start any token", "a sign that starts no value; put the value in quotes"),
    ("unexpected end of stream", "a quote that is never closed"),
    ("could not find expected ':'", "a line without a colon; write one `key: value` per line"),
)  # fmt: skip
"""Part of the parser's message -> the user's mistake in plain words."""


_ODD_KEY = re.compile(r"\s*[\w.-]+\s*(=|:)")
"""A line such as `key = value` or `key:value`."""


def _reason(text: str, error: yaml.MarkedYAMLError) -> str:
    """Return `:line:column: what is wrong` in words for the author of the file."""
    problem, mark = str(error.problem), error.problem_mark or error.context_mark
    if mark is None:
        return f": not valid YAML: {problem}"
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    told = next((reason for part, reason in _REASONS if part in problem), problem)
    indentation = line[: len(line) - len(line.lstrip())]
    if "\t" in indentation or line[mark.column : mark.column + 1] == "\t":
        told = "a tab; use spaces"
    elif "never closed" in told or "without a colon" in told:  # found further below
        mark = error.context_mark or mark
        line = lines[mark.line] if mark.line < len(lines) else ""
        if "without a colon" in told and (odd := _ODD_KEY.match(line)):
            sign = "an equals sign" if odd[1] == "=" else "no blank after the colon"
            told = f"{sign}; write one `key: value` per line"
    return f":{mark.line + 1}:{mark.column + 1}: not valid YAML: {told}"


class _Builder:
    """Build values from parser events, and check the limits before anything is built."""

    def __init__(self, path: Path, events: Iterator[yaml.Event]) -> None:
        self.marks: dict[Location, Mark] = {}
        self._path = path
        self._events = events
        self._anchors: dict[str, tuple[Value, int] | None] = {}
        self._num_nodes = 0

    def document(self) -> dict[str, Value]:
        """Return the mapping of the only document."""
        num_documents = 0
        value: Value = {}
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                num_documents += 1
                if num_documents > 1:
                    raise self._error(event, "a second document (`---`); keep one mapping")
            elif isinstance(event, yaml.NodeEvent):
                value = self._node(event, ())
                if value == "":  # a file that has only comments or `---`
                    value = {}
                if not isinstance(value, dict):
                    raise self._error(event, "not a mapping; write one `key: value` per line")
        assert isinstance(value, dict)
        return value

    def _node(self, event: yaml.Event, location: Location) -> Value:
        self._count(event, 1)
        if len(location) > MAX_DEPTH:
            raise self._error(event, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        tag = getattr(event, "tag", None)
        if tag not in _PLAIN_TAGS:
            raise self._error(event, f"the tag {tag} is not allowed; write a plain value")
        anchor = getattr(event, "anchor", None)
        if anchor:
            self._anchors[anchor] = None  # known but incomplete: an alias inside is a cycle
        before = self._num_nodes
        value = self._content(event, location)
        if anchor:
            self._anchors[anchor] = (value, self._num_nodes - before + 1)
        return value

    def _content(self, event: yaml.Event, location: Location) -> Value:
        if isinstance(event, yaml.ScalarEvent):
            if "\0" in event.value:  # no path may hold it
                raise self._error(event, "a NUL character; write plain text")
            return str(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(location)
        assert isinstance(event, yaml.MappingStartEvent)
        return self._mapping(location)

    def _sequence(self, location: Location) -> list[Value]:
        items: list[Value] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            place = (*location, len(items))
            self.marks[place] = _mark(event)
            items.append(self._node(event, place))
        return items

    def _mapping(self, location: Location) -> dict[str, Value]:
        entries: dict[str, Value] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._node(event, location)
            if not isinstance(key, str):
                raise self._error(event, "a key must be a plain word")
            place = (*location, key)
            if key in entries:
                first = self.marks[place]
                raise self._error(
                    event,
                    f"{key}: written twice (first in line {first.line}); take one of them out",
                )
            self.marks[place] = _mark(event)
            entries[key] = self._node(next(self._events), place)
        return entries

    def _alias(self, event: yaml.AliasEvent) -> Value:
        known = self._anchors.get(event.anchor or "")
        if known is None:
            raise self._error(event, f"the alias *{event.anchor} has nothing to refer to")
        value, num_nodes = known
        self._count(event, num_nodes)
        return value

    def _count(self, event: yaml.Event, num_nodes: int) -> None:
        self._num_nodes += num_nodes
        if self._num_nodes > MAX_NODES:
            raise self._error(event, f"more than {MAX_NODES} values")

    def _error(self, event: yaml.Event, problem: str) -> YamlError:
        mark = _mark(event)
        return YamlError(f"{self._path.name}:{mark.line}:{mark.column}: {problem}")


def _mark(event: yaml.Event) -> Mark:
    assert event.start_mark is not None
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)
