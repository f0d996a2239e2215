"""The contract's YAML files: `common.limited_yaml`, with errors in the platform's words."""

from pathlib import Path

from common import limited_yaml
from common.limited_yaml import Document, YamlError
from executor.errors import ConfigError


def read_yaml(path: Path) -> Document:
    """The mapping in `path`; an empty file is an empty mapping. Every fault is a ConfigError."""
    try:
        return limited_yaml.read_yaml(path)
    except YamlError as error:
        raise ConfigError(str(error)) from error
