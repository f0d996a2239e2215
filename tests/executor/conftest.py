"""Folders as a platform lays them out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from executor.env import OutputPaths


@pytest.fixture
def output(tmp_path: Path) -> OutputPaths:
    """An empty output folder with its models folder."""
    paths = OutputPaths.model_validate({"root_dir": str(tmp_path / "out")})
    paths.models_dir.mkdir(parents=True)
    return paths


@pytest.fixture
def yaml_file(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a config.yaml and names it."""

    def write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
