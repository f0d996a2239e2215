"""A process that is measured: each line of its input is a question, a line of JSON the answer."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

Answers = Callable[[str], dict[str, Any] | None]
"""Question -> answer; None: it was asked to end."""


def serve(load: Callable[[], Answers]) -> None:
    """Load, say so by the memory it took, then answer until told to end."""
    # What libraries print must not mix with the answers.
    with os.fdopen(os.dup(1), "w", buffering=1) as stream:
        os.dup2(2, 1)
        answers = load()
        answer: dict[str, Any] | None = {"rss_mb": memory_mb("VmHWM")}
        while answer is not None:
            stream.write(json.dumps(answer) + "\n")
            question = sys.stdin.readline()
            answer = answers(question.strip()) if question else None


def timed(call: Callable[[], T]) -> tuple[T, dict[str, Any]]:
    """What `call` returns, and its seconds by the clock, CPU seconds and memory."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return result, {"wall_s": wall, "cpu_s": cpu, "rss_mb": memory_mb("VmHWM")}


def memory_mb(name: str) -> float:
    """Of this process: VmRSS, what it holds; VmHWM, the most it ever held."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0
