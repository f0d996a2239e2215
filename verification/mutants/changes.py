"""Small changes of a Python file, each of which some test should notice.

A change replaces one operator, number, condition, argument or statement. Code that affects only
texts is left alone (strings, annotations, decorators, log calls, messages of exceptions), and so
are assertions and the `strict` of `zip`, which is an assertion.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

COMPARISONS: dict[type[ast.cmpop], list[type[ast.cmpop]]] = {
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_PAIRS = ("min max", "minimum maximum", "floor ceil", "any all", "zeros ones", "amin amax")
NAMES = {a: b for pair in _PAIRS for a, b in (pair.split(), pair.split()[::-1])}
"""Functions and methods that are easily confused."""

SHOWN = 25
"""Number of letters that are shown on each side of a difference."""
SYMMETRIC = {"min", "max", "minimum", "maximum", "equal", "logical_and", "logical_or"}
"""Functions whose first two arguments may change places."""
LOGGERS = {"logger", "logging", "warnings"}


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one file.

    file         path from the repository's root on
    line         where the changed text begins, from 1
    function     qualified name of the function or class around it; "" outside of all
    reach        lines; a test that the change can affect runs one of them
    names        names defined by the line, if only an import runs it
    start, stop  the bytes of the file that are replaced
    before, after  the text, and its replacement
    around       the text before and after it on its lines
    """

    file: str
    line: int
    function: str
    reach: tuple[int, ...]
    names: tuple[str, ...]
    start: int
    stop: int
    before: str
    after: str
    around: tuple[str, str]

    @property
    def key(self) -> str:
        """An identifier of the change that does not depend on its line number."""
        text = "\0".join([self.file, self.function, *self.around, self.before, self.after])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def applied(self, source: bytes) -> bytes:
        """The file with the change."""
        return source[: self.start] + self.after.encode() + source[self.stop :]

    def shown(self) -> str:
        """The change on one line, without the equal text on both sides."""
        before, after = (_plain(self.around, text) for text in (self.before, self.after))
        head = _alike(before, after)
        tail = _alike(before[:head:-1], after[:head:-1])
        head, tail = (max(length - SHOWN, 0) for length in (head, tail))
        return f"{_cut(before, head, tail)} → {_cut(after, head, tail)}"


def _plain(around: tuple[str, str], code: str) -> str:
    """The text in the style of `ast.unparse`, so that only real differences show."""
    with suppress(SyntaxError):  # a statement of an inner block, such as `continue`
        code = ast.unparse(ast.parse(code.strip()))
    return " ".join(code.join(around).split())


def _alike(one: str, other: str) -> int:
    """Length of the common beginning of two texts."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _cut(text: str, head: int, tail: int) -> str:
    end = len(text) - tail
    return f"{'…' if head else ''}{' '.join(text[head:end].split())}{'…' if tail else ''}"


def changes_of(file: str, source: bytes) -> list[Change]:
    """Every change of a file, in the order of its text."""
    starts = list(accumulate(map(len, source.splitlines(keepends=True)), initial=0))
    found = []
    for place, old, new in _in_body(ast.parse(source).body, "", inside=False):
        assert isinstance(old, ast.expr | ast.stmt)
        assert old.end_lineno is not None
        assert old.end_col_offset is not None
        start = starts[old.lineno - 1] + old.col_offset
        stop = starts[old.end_lineno - 1] + old.end_col_offset
        before = source[start:stop].decode()
        around = source[starts[old.lineno - 1] : start], source[stop : starts[old.end_lineno]]
        texts = before, new, (around[0].decode(), around[1].decode())
        found.append(Change(file, old.lineno, *place, start, stop, *texts))
    return found


class _Place(NamedTuple):
    """The surroundings of a node; the fields are those of `Change`."""

    function: str
    reach: tuple[int, ...]
    names: tuple[str, ...]


_Found = Iterator[tuple[_Place, ast.AST, str]]
"""The place, the node that is replaced, and its replacement."""


def _in_body(body: Iterable[ast.stmt], where: str, *, inside: bool) -> _Found:
    """The replacements in the statements of a module, a class or (`inside`) a function."""
    for statement in body:
        match statement:
            case ast.FunctionDef(name="__repr__" | "__str__"):
                continue
            case ast.FunctionDef(name=name, body=inner, args=arguments):
                place = _Place(f"{where}.{name}".lstrip("."), tuple(s.lineno for s in inner), ())
                for default in filter(None, (*arguments.defaults, *arguments.kw_defaults)):
                    yield from _in_node(default, place, inside=inside)
                yield from _in_body(inner, place.function, inside=True)
            case ast.ClassDef(name=name, body=inner):
                yield from _in_body(inner, f"{where}.{name}".lstrip("."), inside=False)
            case _ if inside:
                yield from _in_node(statement, _Place(where, (statement.lineno,), ()), inside=True)
            case _:
                place = _Place(where, (), _defined(statement))
                yield from _in_node(statement, place, inside=False)


def _in_node(node: ast.AST, place: _Place, *, inside: bool) -> _Found:
    if _only_words(node):
        return
    yield from ((place, old, new) for old, new in _replacements(node))
    if isinstance(node, ast.Raise):
        return
    for field, child in _children(node):
        if isinstance(child, ast.keyword) and child.arg == "strict":
            continue
        if isinstance(child, ast.stmt):
            yield from _in_body([child], place.function, inside=inside)
        elif field not in ("annotation", "returns", "decorator_list", "type"):
            yield from _in_node(child, place, inside=inside)


def _children(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield field, child


def _only_words(node: ast.AST) -> bool:
    """Whether a node only makes or writes a text."""
    match node:
        case ast.JoinedStr() | ast.Assert() | ast.Import() | ast.ImportFrom():
            return True
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            return name in LOGGERS
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return True
        case ast.BinOp(left=left, right=right):
            return _is_text(left) or _is_text(right)
    return False


def _is_text(node: ast.AST) -> bool:
    constant = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return constant or isinstance(node, ast.JoinedStr)


def _defined(statement: ast.stmt) -> tuple[str, ...]:
    """Names that a statement of a module or class defines."""
    nodes = ast.walk(statement)
    return tuple(n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def _replacements(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """The parts of a node that are replaced, each with its replacement."""
    match node:
        case ast.Compare(ops=[op]):
            for other in COMPARISONS[type(op)]:
                yield node, _text(ast.Compare(node.left, [other()], node.comparators))
        case ast.BinOp() if type(node.op) in OPERATORS:
            yield node, _text(ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right))
        case ast.AugAssign() if type(node.op) in OPERATORS:
            changed = ast.AugAssign(node.target, OPERATORS[type(node.op)](), node.value)
            yield node, ast.unparse(changed)
        case ast.BoolOp(op=op, values=values):
            yield (
                node,
                _text(ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)),
            )
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield node, _text(operand)
        case ast.Constant(value=bool() as value):
            yield node, str(not value)
        case ast.Constant(value=int() as number):
            yield node, str(number + 1)
        case ast.Constant(value=float() as number):
            yield node, str(number * 2 if number else 1.0)
        case ast.If() | ast.While() | ast.IfExp():
            if not isinstance(node.test, ast.Compare | ast.UnaryOp):
                yield node.test, _text(ast.UnaryOp(ast.Not(), node.test))
        case ast.Call():
            yield from ((node, _text(call)) for call in _calls(node))
        case ast.Expr(value=ast.Call()) | ast.Raise():
            yield node, "pass"
        case ast.Break():
            yield node, "continue"
        case ast.Continue():
            yield node, "break"


def _calls(node: ast.Call) -> Iterator[ast.Call]:
    """Changes of a call: another function, the first two arguments swapped, a keyword dropped."""
    match node.func:
        case ast.Name(id=name) if name in NAMES:
            yield ast.Call(ast.Name(NAMES[name]), node.args, node.keywords)
        case ast.Attribute(value=value, attr=name) if name in NAMES:
            yield ast.Call(ast.Attribute(value, NAMES[name]), node.args, node.keywords)
    first = node.args[:2]
    starred = any(isinstance(argument, ast.Starred) for argument in first)
    differ = len({ast.dump(argument) for argument in first}) == 2
    if differ and not starred and _name_of(node.func) not in SYMMETRIC:
        yield ast.Call(node.func, [*reversed(first), *node.args[2:]], node.keywords)
    for dropped in node.keywords:
        if dropped.arg not in (None, "strict"):
            others = [keyword for keyword in node.keywords if keyword is not dropped]
            yield ast.Call(node.func, node.args, others)


def _name_of(function: ast.expr) -> str:
    """Name of the function or method that is called; "" if it has none."""
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _text(node: ast.expr) -> str:
    text = ast.unparse(ast.fix_missing_locations(node))
    simple = isinstance(node, ast.Name | ast.Call | ast.Attribute | ast.Constant | ast.Subscript)
    return text if simple else f"({text})"
