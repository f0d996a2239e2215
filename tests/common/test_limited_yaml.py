import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from common.limited_yaml import MAX_BYTES, Mark, YamlError, read_yaml


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", {}, id="empty file"),
        pytest.param("# only this\n", {}, id="comment only"),
        pytest.param("---\n", {}, id="empty document"),
        pytest.param("a: no", {"a": "no"}, id="no is no boolean"),
        pytest.param("a: 012", {"a": "012"}, id="leading zero is not octal"),
        pytest.param("a: 12:30", {"a": "12:30"}, id="a time is not base sixty"),
        pytest.param("a: 1e-3", {"a": "1e-3"}, id="exponent without point"),
        pytest.param("a: null\nb: ~\nc:", {"a": "null", "b": "~", "c": ""}, id="nothing"),
        pytest.param("a: [x, 'y z', \"ü\"]", {"a": ["x", "y z", "ü"]}, id="quotes"),
        pytest.param("a: &n [x]\nb: *n", {"a": ["x"], "b": ["x"]}, id="alias as dumpers write"),
        pytest.param("\ufeffa: 1", {"a": "1"}, id="byte order mark"),
        pytest.param("a: 1\r\nb: 2\r\n", {"a": "1", "b": "2"}, id="windows lines"),
        pytest.param("a: {b: {c: 1}}", {"a": {"b": {"c": "1"}}}, id="nested"),
    ],
)
def test_every_scalar_stays_text(tmp_path: Path, text: str, expected: object):
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode())
    assert read_yaml(path).value == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            b"a: 1\na: 2", r"yaml:2:1: a: written twice \(first in line 1\)", id="duplicate"
        ),
        pytest.param(b"x: 1\n\ta: 1", r"yaml:2:1: not valid YAML: a tab; use spaces", id="tab"),
        pytest.param(b"\tx: 1", r"yaml:1:1: not valid YAML: a tab; use spaces", id="tab at first"),
        pytest.param(b"x:\n-\tcat", r"yaml:2:2: not valid YAML: a tab; use", id="tab in a list"),
        pytest.param(b"x: |\n\tcat", r"yaml:2:1: not valid YAML: a tab; use", id="tab in a block"),
        pytest.param(b"x: 1\ny: @cat", r"yaml:2:4: .* put the value in quotes", id="odd sign"),
        pytest.param(b"x: 1\ny: 'cat\nz: 2", r"yaml:2:4: .*never closed", id="open quote"),
        pytest.param(b"x: 1\ny 2\nz: 3", r"yaml:2:1: .*a line without a colon", id="no colon"),
        pytest.param(b"x: 1\n  y: 2", r"yaml:2:4: .*in the same column", id="too deep"),
        pytest.param(b"[1, 2]", r"yaml:1:1: not a mapping", id="list"),
        pytest.param(b"just words", r"yaml:1:1: not a mapping", id="scalar"),
        pytest.param(b"a: [1", r"yaml:2:1: not valid YAML", id="open bracket"),
        pytest.param(b"a: b: c", r"yaml:1:5: .*quotes around a text", id="two colons"),
        pytest.param(b"a: !!python/object:os.system x", r"yaml:1:4: the tag .* is not", id="tag"),
        pytest.param(b"a: 1\n---\nb: 2", r"yaml:2:1: a second document", id="two documents"),
        pytest.param(b"? [a]\n: 1", r"yaml:1:3: a key must be a plain word", id="list as key"),
        pytest.param("a: 1".encode("utf-16"), r"yaml:1:1: not UTF-8", id="UTF-16"),
        pytest.param(b"a: 1\nb: \xff", r"yaml:2:1: not UTF-8", id="latin-1 byte"),
        pytest.param(b"a: \0", r"yaml: not valid YAML", id="NUL"),
        pytest.param(b'a: ["/in/\\0"]', r"yaml:1:5: a NUL character", id="NUL, escaped"),
        pytest.param(b"a: " + b"[" * 500_000, r"nested deeper than 8", id="deep nesting"),
        pytest.param(b"a: &x [*x]", r"yaml:1:8: the alias \*x has nothing", id="cycle"),
        pytest.param(b"a: *x", r"the alias \*x has nothing", id="unknown alias"),
        pytest.param(b"a: " + b"x" * MAX_BYTES, r"larger than", id="too large"),
    ],
)
def test_what_is_refused_says_where(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(YamlError, match=message):
        read_yaml(path)


def test_alias_bomb(tmp_path: Path):
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    for name, before in zip("bcdefgh", "abcdefg", strict=True):
        lines.append(f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]")
    path = tmp_path / "config.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(YamlError, match="more than 200000 values"):
        read_yaml(path)


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_unreadable_file(tmp_path: Path, name: str):
    with pytest.raises(YamlError, match="cannot be read"):
        read_yaml(tmp_path / name)


def test_marks(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text("# first\na:\n  b: 1\nc: [x,\n    y]\n")
    document = read_yaml(path)
    assert document.mark(("a", "b")) == Mark(3, 3)
    assert document.mark(("c", 1)) == Mark(5, 5)
    assert document.where(("c", 1, "deeper")) == "config.yaml:5:5"
    assert document.where(("missing",)) == "config.yaml:1:1"


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_bytes_break_it(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_bytes(content)
    try:
        outcome = str(read_yaml(path).path.name)
    except YamlError as error:
        outcome = str(error)
    assert re.match(r"fuzzed\.yaml\b", outcome)


LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


@given(
    st.dictionaries(
        st.text(LETTERS, min_size=1, max_size=9), st.lists(st.text(LETTERS, max_size=9), max_size=3)
    )
)
@settings(max_examples=100, deadline=None)
def test_texts_survive_what_platforms_write(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, list[str]]
):
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert read_yaml(path).value == content
