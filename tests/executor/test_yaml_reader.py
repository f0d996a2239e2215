from pathlib import Path

import pytest

from executor.errors import ConfigError
from executor.yaml_reader import read_yaml


def test_faults_are_the_contract_s(tmp_path: Path) -> None:
    path = tmp_path / "env.yaml"
    path.write_text("a: 1\na: 2\n")
    with pytest.raises(
        ConfigError, match=r"^env\.yaml:2:1: a: written twice \(first in line 1\); take"
    ):
        read_yaml(path)
    path.write_text("a: 012\n")
    assert read_yaml(path).value == {"a": "012"}
