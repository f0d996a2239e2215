"""Evaluate the arithmetic expressions of YAML files without running Python code.

detectron2's RetinaNet base config writes anchor sizes as `!!python/object/apply:eval ["..."]`.
Only numbers, lists, tuples, `+ - * / // % **` and names bound by a comprehension are allowed;
calls and attributes are not. The size of lists and numbers is limited.
"""

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MAX_LENGTH = 1000  # characters
MAX_ELEMENTS = 10_000  # in all lists together
MAX_MAGNITUDE = 1e12  # of every intermediate number

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


def evaluate(text: str) -> Any:
    """Return the number or (nested) list that `text` means; ValueError for anything else."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"longer than {MAX_LENGTH} characters")
    try:
        return _Evaluator().value(ast.parse(text.strip(), mode="eval").body, {})
    except (SyntaxError, ArithmeticError, RecursionError, MemoryError) as error:
        raise ValueError(str(error)) from error


class _Evaluator:
    def __init__(self) -> None:
        self._elements = 0

    def value(self, node: ast.expr, names: Mapping[str, Any]) -> Any:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return _bounded(number)
            case ast.Name(id=name) if name in names:
                return names[name]
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self._counted(self.value(item, names)) for item in items]
            case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _SIGNS:
                return _SIGNS[type(sign)](_number(self.value(operand, names)))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return self._operation(op, left, right, names)
            case ast.ListComp(elt=item, generators=[ast.comprehension(ifs=[], is_async=0) as loop]):
                return [
                    self._counted(self.value(item, scope)) for scope in self._scopes(loop, names)
                ]
        raise ValueError(f"{ast.unparse(node)!r} is not plain arithmetic")

    def _operation(
        self, op: ast.operator, left: ast.expr, right: ast.expr, names: Mapping[str, Any]
    ) -> Any:
        a, b = _number(self.value(left, names)), _number(self.value(right, names))
        if isinstance(op, ast.Pow) and abs(b) > 64:
            raise ValueError(f"exponent {b} is too large")
        return _bounded(_OPERATORS[type(op)](a, b))

    def _scopes(
        self, loop: ast.comprehension, names: Mapping[str, Any]
    ) -> Iterator[Mapping[str, Any]]:
        values = self.value(loop.iter, names)
        if not isinstance(loop.target, ast.Name) or not isinstance(values, list):
            raise ValueError("a comprehension must run one name over one list")
        for value in values:
            yield {**names, loop.target.id: value}

    def _counted(self, value: Any) -> Any:
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise ValueError(f"more than {MAX_ELEMENTS} elements")
        return value


def _number(value: Any) -> int | float:
    if not isinstance(value, int | float):
        raise ValueError("only numbers can be added, multiplied, ...")
    return value


def _bounded(value: Any) -> Any:
    if isinstance(value, complex) or not abs(value) <= MAX_MAGNITUDE:
        raise ValueError(f"{value} is out of range")
    return value
