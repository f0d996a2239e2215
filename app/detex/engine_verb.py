"""The verbs of `app.cli` as verbs of `detex`, with the options that `app.cli` defines.

Only the exit statuses differ: like all verbs of `detex`, they use those of docs/contract.md.
"""

import logging
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from typer._click.shell_completion import CompletionItem
from typer.core import TyperCommand

logger = logging.getLogger("app.detex")

_DETECT_OPTIONS = (
    *("--model", "--threshold", "--draw", "--json", "--csv", "--image-size", "--device"),
    *("--tile-size", "--tile-overlap", "--config-file"),
)
_FOLDER_OPTIONS = ("--in", "--out", "--json", "--help")


class EngineVerb(TyperCommand):
    """A command that passes its words to `app.cli`, and shows and completes the options there."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show its own options, then those of `app.cli`."""
        from app.cli.arguments import verb_parser

        super().format_help(ctx, formatter)
        parser = verb_parser(str(self.name), prog="detex")
        formatter.write(f"\nDetectron2's way, in full:\n\n{parser.format_help()}")

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Complete the options of both commands."""
        from app.cli.arguments import verb_parser

        found = super().shell_complete(ctx, incomplete)
        known = {item.value for item in found}
        for action in verb_parser(str(self.name), prog="detex")._actions:
            for flag in action.option_strings:
                if incomplete.startswith("-") and flag.startswith(incomplete) and flag not in known:
                    found.append(CompletionItem(flag, help=action.help))
        return found


def run_verb(verb: str, words: Sequence[str]) -> int:
    """Run a verb of `app.cli`; return its exit status."""
    from app.cli.__main__ import run
    from app.cli.arguments import parse
    from executor.errors import StoppedError
    from executor.logs import setup_logging

    options = parse([verb, *words], prog="detex")
    setup_logging()
    try:
        run(options)
    except KeyboardInterrupt:
        logger.error("interrupted")
        return StoppedError.exit_status
    except Exception as error:
        return _told(error)
    return 0


def _told(error: Exception) -> int:
    """Log an error and return its exit status; only our own bugs log a traceback."""
    from app.cli.__main__ import sentence_about
    from app.tasks.failures import contract_error, told
    from executor.errors import DatasetError

    sentence = sentence_about(error)
    if sentence is None:
        known = told(error)
        logger.error("%s", known)
        return known.exit_status
    logger.error("%s", sentence)
    return (contract_error(error) or DatasetError(sentence)).exit_status


def is_detectron2s(words: Sequence[str]) -> bool:
    """Whether words are options of `app.cli`."""
    return any(word.partition("=")[0] == "--config-file" for word in words)


def what_is_wrong_with_paths(words: Sequence[str]) -> str | None:
    """Return one sentence why the words of `detect` without --config-file are refused, or None."""
    from app.cli.arguments import verb_parser

    if not words:
        return "no image is named; give files, folders or patterns (`detex detect --help`)"
    flags = [word.partition("=")[0] for word in words if word.startswith("--")]
    if not flags:
        return None
    theirs = {flag for each in verb_parser("detect")._actions for flag in each.option_strings}
    if flags[0] in theirs:
        return (
            f"{flags[0]} is an option of detectron2's way, which needs --config-file FILE; here"
            " give the images as they are, and --model DIR"
        )
    near = get_close_matches(flags[0], _DETECT_OPTIONS, n=1)
    advice = f"did you mean {near[0]}?" if near else "`detex detect --help` lists the options"
    return f"there is no option {flags[0]}; {advice}"


def what_is_wrong(words: Sequence[str]) -> str:
    """Return one sentence why words beside --in and --out are refused."""
    from app.cli.arguments import verb_parser

    flags = [word.partition("=")[0] for word in words if word.startswith("--")]
    theirs = {flag for action in verb_parser("train")._actions for flag in action.option_strings}
    for flag in flags:
        if flag in theirs:
            return (
                f"--in and --out are a task's folders, whose settings stand in config.yaml, and"
                f" {flag} is an option of detectron2's way (there results go to --output); give"
                " the options of one of the two"
            )
    wrong = flags[0] if flags else words[0]
    near = get_close_matches(wrong, _FOLDER_OPTIONS, n=1)
    if near:
        return f"there is no option {wrong}; did you mean {near[0]}?"
    return (
        f"{wrong} means nothing beside --in and --out; settings stand in config.yaml of the folder"
        " that --in names"
    )
