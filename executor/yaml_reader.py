"""The contract's YAML files: `common.limited_yaml`, with ConfigError in place of YamlError."""

from pathlib import Path

from common import limited_yaml
from common.limited_yaml import Document, YamlError
from executor.errors import ConfigError


def read_yaml(path: Path) -> Document:
    """Read the mapping in `path`, empty for an empty file; every fault is a ConfigError."""
    try:
        return limited_yaml.read_yaml(path)
    except YamlError as error:
        raise ConfigError(str(error)) from error
