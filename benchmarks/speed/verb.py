"""The interface of the modules that are verbs, and the options that several verbs share."""

import argparse
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Protocol

from benchmarks.speed.engines import CONFIGS, EngineSpec, Workload

Options = argparse.Namespace
Parser = argparse.ArgumentParser


class Verb(Protocol):
    """A module that measures; KIND is the kind of its records."""

    KIND: str

    def add_options(self, parser: Parser) -> None:
        """Add the options of this verb."""

    def contents(self, options: Options) -> Iterable[dict[str, Any]]:
        """The contents of the records, each as soon as it is measured."""
        ...

    def describe(self, content: dict[str, Any]) -> str:
        """A text about a record, for the terminal."""
        ...


def add_models(parser: Parser, *, rounds: int = 0) -> None:
    """Add options for models, image size, threads and rounds: see `workloads`."""
    parser.add_argument("--config", action="append", choices=list(CONFIGS), required=True)
    parser.add_argument("--short", type=int, default=800)
    parser.add_argument("--max", type=int, help="default: 5/3 of --short, as 1333 for 800")
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=2)


def workloads(options: Options) -> list[Workload]:
    """A workload for each model."""
    max_size = options.max or options.short * 1333 // 800
    return [Workload(c, options.short, max_size, options.threads) for c in options.config]


def add_engines(parser: Parser, kinds: Collection[str]) -> None:
    """Add the option for engines of these kinds: see `specs`."""
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
    """Add the option for one photograph."""
    parser.add_argument("--image", type=Path, required=True)


def add_images(parser: Parser) -> None:
    """Add the option for several photographs."""
    parser.add_argument("--image", type=Path, required=True, nargs="+")
