"""How a valid file becomes a hostile one: by its structure, by its words, or by its bytes."""

import copy
import json
import re
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

Tree = Any
"""A value of JSON."""

WEIRD_WORDS = (
    *("", " ", "~", "null", "None", "no", "on", "True", "NaN", ".nan", ".inf", "-inf", "1e999"),
    *("-1", "0", "1e-3", "012", "12:30", "0x10", "1_000", "1.5", "9" * 30, "9" * 400, "9" * 5000),
    *("2147483648", "-9223372036854775809", "1,2", "a b", "é", "ﬁ", "İ", "\u202e", "\ufeff", "\0"),
    *("\t", "\n", "\r", "\x1b[2J", "\u2028", "\ud800", "'", '"', "\\", "#", ":", "-", "%s", "{0}"),
    *("../../etc/shadow", "/dev/zero", "/", ".", "..", "$HOME", "<script>", "A" * 5000),
)
"""Values that people have written by mistake in place of others."""

WEIRD_YAML = (
    *("!!python/object/apply:os.system [id]", "!!python/name:os.system", "!!binary aaa", "!!int x"),
    *("!x y", "!", "!!", "!<tag:yaml.org,2002:int> 5", "&a x", "*a", "&b [*b]", "*nothing"),
    *("[", "]", "{", "}", "[" * 3000, "{a: " * 1500, "- - - x", "|", ">", "? x", "<<: *a", "---"),
    *("...", "%YAML 9.9", "[1, [2, [3]]]", "{a: {b: c}}", "{? [x] : y}", "!!set {a}", "2001-01-01"),
    *("!!timestamp 2001-99-99", "0o9", "0b", "1:99:99", "=", "<<", "@", "`", "'" + "x" * 70),
)
"""Pieces of YAML syntax, right and nearly right."""

WEIRD_VALUES: tuple[Tree, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, 1e308, -1e308),
    *(float("nan"), float("inf"), "", "x", "\0", "\ud800", "é", [], {}, [[]], [[[]]], {"a": {}}),
    *([1, 2, 3, 4], [None] * 4, ["a"] * 6, list(range(60)), {"id": 1}, {"counts": [], "size": []}),
)

_SIZES = st.integers(0, 3)


@st.composite
def damaged(draw: st.DrawFn, content: bytes, *, edits: int = 4) -> bytes:
    """`content` after a few flips, cuts, copies and insertions, more of them near its start."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, edits))):
        near, far = min(len(data), 64), len(data)
        at = draw(st.one_of(st.integers(0, near), st.integers(0, far)))
        kind = draw(st.sampled_from(("flip", "set", "cut", "end", "insert", "copy", "number")))
        length = draw(st.integers(1, 16))
        if kind == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del data[at : at + length]
        elif kind == "end":
            del data[at:]
        elif kind == "insert":
            data[at:at] = draw(st.binary(max_size=16))
        elif kind == "copy":
            to = draw(st.integers(0, len(data)))
            data[to:to] = data[at : at + 4 * length]
        else:
            number = draw(st.sampled_from((0, 1, 0x7F, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)))
            order = draw(st.sampled_from(("little", "big")))
            data[at : at + 4] = number.to_bytes(4, "big" if order == "big" else "little")
    return bytes(data)


@st.composite
def rewritten(draw: st.DrawFn, text: str, pattern: str, words: Sequence[str]) -> str:
    """`text` with some of its words (split at `pattern`, a group) replaced, dropped or repeated."""
    parts = [part for part in re.split(pattern, text) if part]
    for _ in range(draw(_SIZES)):
        at = draw(st.integers(0, max(len(parts) - 1, 0)))
        kind = draw(st.sampled_from(("replace", "replace", "drop", "repeat", "swap", "insert")))
        if kind == "replace":
            parts[at : at + 1] = [draw(st.sampled_from(words))]
        elif kind == "drop":
            del parts[at : at + 1]
        elif kind == "repeat":
            parts[at:at] = parts[at : at + 1] * draw(st.sampled_from((1, 2, 300)))
        elif kind == "swap":
            to = draw(st.integers(0, max(len(parts) - 1, 0)))
            parts[at:at], parts[to : to + 1] = parts[to : to + 1], parts[at : at + 1]
        else:
            parts.insert(at, draw(st.one_of(st.sampled_from(words), st.text(max_size=8))))
    return "".join(parts)


@st.composite
def regrown(draw: st.DrawFn, tree: Tree, values: Sequence[Tree] = WEIRD_VALUES) -> Tree:
    """`tree` (dicts and lists) with some branches replaced, dropped, wrapped or repeated."""
    tree = json.loads(json.dumps(tree))
    for _ in range(draw(_SIZES)):
        branches = [(tree, key) for key in _keys(tree)]
        for parent, key in branches:
            branches += [(parent[key], below) for below in _keys(parent[key])]
        if not branches:
            break
        parent, key = draw(st.sampled_from(branches))
        kind = draw(st.sampled_from(("replace", "replace", "replace", "drop", "wrap", "repeat")))
        if kind == "replace":
            parent[key] = copy.deepcopy(draw(st.sampled_from(values)))
        elif kind == "drop":
            del parent[key]
        elif kind == "wrap":
            parent[key] = [parent[key]]
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        else:
            parent[draw(st.sampled_from(("", "id", "x", "name")))] = copy.deepcopy(parent[key])
    return draw(st.sampled_from(values)) if draw(st.integers(0, 40)) == 7 else tree


def _keys(tree: Tree) -> list[Any]:
    if isinstance(tree, dict):
        return list(tree)
    return list(range(min(len(tree), 50))) if isinstance(tree, list) else []


@st.composite
def stored(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> bytes:
    """A text as an editor saves it: mostly plain UTF-8, sometimes with damaged bytes."""
    text = draw(texts)
    if draw(st.integers(0, 9)) == 0:
        text = text.replace("\n", draw(st.sampled_from(("\r\n", "\r", "\n\n", " ", "\x85"))))
    odd = ("utf-8-sig", "utf-16", "utf-16-be", "latin-1", "utf-32", "utf-7")
    encoding = draw(st.sampled_from(odd)) if draw(st.integers(0, 9)) == 0 else "utf-8"
    errors = "surrogatepass" if encoding.startswith(("utf-8", "utf-16", "utf-32")) else "replace"
    data = text.encode(encoding, errors)
    return draw(damaged(data)) if draw(st.integers(0, 3)) == 0 else data


def noise() -> st.SearchStrategy[bytes]:
    """Random bytes."""
    return st.one_of(st.binary(max_size=300), st.text(max_size=100).map(_encoded))


def json_text(trees: st.SearchStrategy[Tree]) -> st.SearchStrategy[str]:
    """Trees as JSON, which here also knows NaN and Infinity."""
    return trees.map(lambda tree: json.dumps(tree, ensure_ascii=False))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
