"""Read and write config files: safe YAML, `_BASE_` files, and the line of each key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from app.engine.config.expression import evaluate
from app.engine.errors import ConfigError
from common.limited_yaml import YamlError, read_limited
from common.text import first_line

BASE_KEY = "_BASE_"
MAX_NODES = 20_000  # after expanding aliases: stops alias bombs
MAX_BASES = 20  # depth of `_BASE_` files

_EVAL_TAG = "tag:yaml.org,2002:python/object/apply:eval"


@dataclass(slots=True)
class ConfigFile:
    """The values of a file and its bases as nested dicts, and `file, line n` per dotted key."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)


def read_config(path: Path, *, above: tuple[Path, ...] = ()) -> ConfigFile:
    """Read `path` and its bases; later bases override earlier ones. `above`: the files before."""
    path = path.expanduser()
    if path.resolve() in above or len(above) > MAX_BASES:
        raise ConfigError(f"{path}: {BASE_KEY} leads back to the file itself; break the circle")
    own = _read_one(path)
    bases = own.values.pop(BASE_KEY, [])
    merged = ConfigFile()
    for base in bases if isinstance(bases, list) else [bases]:
        lower_path = _base_path(base, path)
        if not lower_path.is_file():
            raise ConfigError(
                f"{path}: {BASE_KEY} names {lower_path}, which is no file; correct the path"
            )
        try:
            lower = read_config(lower_path, above=(*above, path.resolve()))
        except ConfigError as error:
            raise ConfigError(f"{error} (a base of {path})") from error
        _merge(lower, into=merged, file=path)
    _merge(own, into=merged, file=path)
    return merged


def _base_path(base: Any, path: Path) -> Path:
    if not isinstance(base, str) or "://" in base or "\0" in base:
        raise ConfigError(
            f"{path}: {BASE_KEY} is {base!r}; give the path of a file, relative to this one"
        )
    return path.parent / Path(base).expanduser()


def _merge(upper: ConfigFile, *, into: ConfigFile, file: Path) -> None:
    def merge(values: dict[str, Any], onto: dict[str, Any], prefix: str) -> None:
        for key, value in values.items():
            if not isinstance(value, dict) or key not in onto:
                onto[key] = value
            elif isinstance(onto[key], dict):
                merge(value, onto[key], f"{prefix}{key}.")
            else:
                raise ConfigError(
                    f"{file}: {prefix}{key} is a section here and a value in the base; "
                    "make them agree"
                )

    merge(upper.values, into.values, "")
    into.origins |= upper.origins


def _read_one(path: Path) -> ConfigFile:
    try:
        return _parse(read_limited(path), path)
    except YamlError as error:
        raise ConfigError(str(error)) from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = "a tab; use spaces" if "'\\t'" in str(error.problem) else error.problem
        raise ConfigError(f"{path}{line}: not valid YAML: {problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path}: not a YAML text file: {first_line(error)}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: nested too deeply for a config file") from error


def _parse(content: bytes, path: Path) -> ConfigFile:
    loader = _Loader(content)
    try:
        root = loader.get_single_node()
        if root is None:
            return ConfigFile()
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError(f"{path}: a config file holds KEY: value lines; this one does not")
        origins: dict[str, str] = {}
        _note_origins(root, "", path, origins, [0])
        return ConfigFile(loader.construct_document(root), origins)
    finally:
        loader.dispose()


def _note_origins(
    node: yaml.Node, prefix: str, path: Path, origins: dict[str, str], seen: list[int]
) -> None:
    seen[0] += 1
    if seen[0] > MAX_NODES:
        raise ConfigError(f"{path}: more than {MAX_NODES} values; this is no config file")
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _note_origins(item, prefix, path, origins, seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            origins[name] = f"{path}, line {key.start_mark.line + 1}"
            _note_origins(value, f"{name}.", path, origins, seen)


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a duplicate key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and str(key.value) in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value} is written twice", key.start_mark
                )
            keys.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def _construct_arithmetic(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    content = loader.construct_sequence(node) if isinstance(node, yaml.SequenceNode) else []
    if len(content) != 1 or not isinstance(content[0], str):
        raise yaml.constructor.ConstructorError(
            None, None, 'this tag takes one text: ["..."]', node.start_mark
        )
    try:
        return evaluate(content[0])
    except ValueError as error:
        raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error


def _refuse_python(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    raise yaml.constructor.ConstructorError(
        None, None, f"the tag !!python/{suffix} could run code and is refused", node.start_mark
    )


_Loader.add_constructor(_EVAL_TAG, _construct_arithmetic)
_Loader.add_multi_constructor("tag:yaml.org,2002:python/", _refuse_python)


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Safe YAML with sorted keys; short lists on one line; tuples as lists."""
    text: str = yaml.safe_dump(_plain(values), sort_keys=True, default_flow_style=None)
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
