"""CfgNode: a tree of config values, read as `cfg.SECTION.KEY`, merged by detectron2's rules."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from app.engine.config.faults import Fault, refuse, shown
from app.engine.config.ranges import RANGES
from app.engine.config.unknown import explain_unknown
from app.engine.config.upgrade import read_upgraded
from app.engine.config.values import coerce, decode
from app.engine.config.yaml_file import dump_yaml
from app.engine.errors import ConfigError


class CfgNode(dict[str, Any]):
    """Values by name: sections are CfgNodes, leaves None, bool, number, text or lists of these.

    Merging never adds a key: an unknown key raises ConfigError and changes nothing.
    """

    _frozen = False

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        for key, value in (values or {}).items():
            self[key] = CfgNode(value) if isinstance(value, Mapping) else value

    def merge_from_file(self, path: Path | str) -> None:
        """Set the values of a YAML file and its `_BASE_` files."""
        meta_architecture = self.get("MODEL", {}).get("META_ARCHITECTURE", "")
        file = read_upgraded(path, meta_architecture=str(meta_architecture))
        self._merge(file.values, file.origins)

    def merge_from_list(self, overrides: Sequence[Any], *, origin: str = "overrides") -> None:
        """Set `[KEY, VALUE, KEY, VALUE, ...]` with dotted keys, as on a command line.

        `origin` is the source of the overrides in messages.
        """
        if len(overrides) % 2:
            raise ConfigError(
                f"the overrides must be KEY VALUE pairs, and {overrides[-1]!r} stands alone; "
                "add what is missing"
            )
        for key, value in zip(overrides[::2], overrides[1::2], strict=True):
            self._merge(nested(str(key), value), {str(key): origin})

    def merge_from_mapping(self, values: Mapping[str, Any]) -> None:
        """Set the values of a nested mapping, for example another CfgNode."""
        self._merge(values, {})

    def leaves(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Yield (dotted key, value) of every leaf."""
        for key, value in self.items():
            if isinstance(value, CfgNode):
                yield from value.leaves(f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    def dump(self) -> str:
        """Return the tree as YAML, which `merge_from_file` reads back to the same values."""
        text = {key: value for key, value in self.leaves() if isinstance(value, str)}
        # Texts that look like a quoted text get another pair of quotes, which reading removes.
        quoted = {
            key: repr(value)
            for key, value in text.items()
            if isinstance(decode(value), str) and decode(value) != value
        }
        return dump_yaml(self.with_values(quoted))

    def clone(self) -> Self:
        """Return an independent copy, which is frozen if this config is."""
        return copy.deepcopy(self)

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """Return a frozen copy with other values of some dotted keys, without checking them."""
        changed = self.clone()
        changed.defrost()
        for key, value in values.items():
            node = changed
            *sections, leaf = key.split(".")
            for name in sections:
                node = node[name]
            node[leaf] = value
        changed.freeze()
        return changed

    def freeze(self) -> None:
        """Forbid changes of this section and its subsections."""
        self._set_frozen(True)

    def defrost(self) -> None:
        """Allow changes again."""
        self._set_frozen(False)

    def is_frozen(self) -> bool:
        """Whether changes are forbidden."""
        return self._frozen

    def _set_frozen(self, frozen: bool) -> None:
        object.__setattr__(self, "_frozen", frozen)
        for value in self.values():
            if isinstance(value, CfgNode):
                value._set_frozen(frozen)

    def take(self, values: Mapping[str, Any], origins: Mapping[str, str]) -> list[Fault]:
        """Set the valid values of a nested mapping and return the faults of the others.

        `origins` maps each dotted key to the place where it is written.
        """
        changes, faults = self._plan(values, origins)
        for node, name, value in changes:
            node[name] = value
        return faults

    def _merge(self, values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
        changes, faults = self._plan(values, origins)
        refuse(faults)
        for node, name, value in changes:
            node[name] = value

    def _plan(
        self, values: Mapping[str, Any], origins: Mapping[str, str]
    ) -> tuple[list[tuple["CfgNode", str, Any]], list[Fault]]:
        """Return the changes as (section, name, value), and the faults."""
        known = [key for key, _ in self.leaves()]
        faults: list[Fault] = []
        changes: list[tuple[CfgNode, str, Any]] = []

        def visit(node: CfgNode, values: Mapping[str, Any], prefix: str) -> None:
            for name, new in values.items():
                key = f"{prefix}{name}"
                if name not in node:
                    problem = explain_unknown(key, known)
                elif isinstance(node[name], CfgNode):
                    if isinstance(new, Mapping):
                        visit(node[name], new, f"{key}.")
                    if new is None or isinstance(new, Mapping):
                        continue
                    problem = f"{key} is {shown(new)}, but it is a section: give its keys"
                else:
                    try:
                        changes.append((node, name, coerce(new, node[name])))
                        continue
                    except ValueError as error:
                        problem = f"{key} is {shown(new)}: {error}"
                        if key in RANGES:
                            problem = f"{key} is {shown(new)}, but must be {RANGES[key].words}"
                faults.append(Fault(key, problem, origins.get(key, "")))

        visit(self, values, "")
        return changes, faults

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = type(self)(copy.deepcopy(dict(self), memo))
        copied._set_frozen(self._frozen)
        return copied

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the config has no key {name!r} here") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if self._frozen:
            raise AttributeError(f"the config is frozen: {name} cannot change any more")
        super().__setitem__(name, value)


def nested(key: str, value: Any) -> dict[str, Any]:
    """Return {"A": {"B": value}} for the key "A.B"."""
    *sections, leaf = key.split(".")
    values = {leaf: value}
    for name in reversed(sections):
        values = {name: values}
    return values
