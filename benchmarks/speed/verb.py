"""What makes a module of this folder a verb, and the options that several verbs share."""

import argparse
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Protocol

from benchmarks.speed.engines import CONFIGS, EngineSpec, Task

Options = argparse.Namespace
Parser = argparse.ArgumentParser


class Verb(Protocol):
    """A module that measures; KIND is that of its records."""

    KIND: str

    def add_options(self, parser: Parser) -> None:
        """Those of its own."""

    def contents(self, options: Options) -> Iterable[dict[str, Any]]:
        """What the records say, each as soon as it is measured."""
        ...

    def describe(self, content: dict[str, Any]) -> str:
        """For whoever waits for it."""
        ...


def add_models(parser: Parser, *, rounds: int = 0) -> None:
    """Which models, at which size, on how many threads and how often: see `tasks`."""
    parser.add_argument("--config", action="append", choices=list(CONFIGS), required=True)
    parser.add_argument("--short", type=int, default=800)
    parser.add_argument("--max", type=int, help="default: 5/3 of --short, as 1333 for 800")
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=2)


def tasks(options: Options) -> list[Task]:
    """One for each model."""
    max_size = options.max or options.short * 1333 // 800
    return [Task(c, options.short, max_size, options.threads) for c in options.config]


def add_engines(parser: Parser, kinds: Collection[str]) -> None:
    """Which of the engines of these kinds: see `specs`."""
    parser.add_argument(
        "--engine",
        action="append",
        required=True,
        metavar="KIND[:PRECISION][=PYTHON]",
        help=f"once for each engine; KIND: {', '.join(kinds)}",
    )
    parser.set_defaults(kinds=kinds)


def specs(options: Options) -> list[EngineSpec]:
    """Engines in the order of the command line."""
    return [EngineSpec.parse(text, options.kinds) for text in options.engine]


def add_image(parser: Parser) -> None:
    """One photograph."""
    parser.add_argument("--image", type=Path, required=True)


def add_images(parser: Parser) -> None:
    """Several."""
    parser.add_argument("--image", type=Path, required=True, nargs="+")
