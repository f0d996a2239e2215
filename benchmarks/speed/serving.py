"""The process that is measured: it answers each line of its input with a line of JSON."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

Answers = Callable[[str], dict[str, Any] | None]
"""Question -> answer; None ends the process."""


def serve(load: Callable[[], Answers]) -> None:
    """Load, write the memory that it took, then answer questions until one ends the process."""
    # Output of libraries must not mix with the answers.
    with os.fdopen(os.dup(1), "w", buffering=1) as stream:
        os.dup2(2, 1)
        answers = load()
        answer: dict[str, Any] | None = {"rss_mb": memory_mb("VmHWM")}
        while answer is not None:
            stream.write(json.dumps(answer) + "\n")
            question = sys.stdin.readline()
            answer = answers(question.strip()) if question else None


def timed(call: Callable[[], T]) -> tuple[T, dict[str, Any]]:
    """The result of `call`, with its wall time, CPU seconds and memory."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return result, {"wall_s": wall, "cpu_s": cpu, "rss_mb": memory_mb("VmHWM")}


def memory_mb(name: str) -> float:
    """Memory of this process: VmRSS, the present one; VmHWM, the peak."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0
