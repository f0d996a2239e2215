import re

import executor.errors
from executor.errors import ConfigError, ExecutorError


def all_kinds(kind: type[ExecutorError]) -> list[type[ExecutorError]]:
    return [kind] + [found for child in kind.__subclasses__() for found in all_kinds(child)]


def test_the_tree_in_the_docstring_tells_the_truth():
    drawn = re.findall(r"(\w+Error)\s+(\d{6})\s+exit\s+(\d+)", executor.errors.__doc__ or "")
    real = {
        (kind.__name__, str(kind.code), str(kind.exit_status)) for kind in all_kinds(ExecutorError)
    }
    assert set(drawn) == real


def test_a_code_and_status_name_one_error():
    numbers = [(kind.code, kind.exit_status) for kind in all_kinds(ExecutorError)]
    assert len(set(numbers)) == len(numbers)


def test_no_failure_looks_like_success():
    assert all(kind.exit_status not in (0, 1) and kind.code for kind in all_kinds(ExecutorError))


def test_messages_cannot_steer_a_terminal_or_fill_a_log():
    text = str(ConfigError("a\x1b[2J\tb\u2028\0" + "x" * 5000 + "\nsecond"))
    first, second = text.split("\n")
    assert first.startswith("a [2J b  x")
    assert len(first) <= 1000
    assert second == "second"
