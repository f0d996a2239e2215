"""The house is in order: what is generated is up to date."""

from pathlib import Path

import pytest

from generate import generated_files

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", generated_files())
def test_what_is_generated_is_up_to_date(name: str):
    content = (ROOT / name).read_text(encoding="utf-8")
    assert content == generated_files()[name], "run `make generate`"
