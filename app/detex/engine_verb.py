"""The verbs of `app.cli` as verbs of `detex`: the same options, which are defined there alone.

Only the exit statuses differ: they are those of docs/contract.md, as of all that `detex` does.
"""

import logging
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from typer._click.shell_completion import CompletionItem
from typer.core import TyperCommand

logger = logging.getLogger("app.detex")

_FOLDER_OPTIONS = ("--in", "--out", "--json", "--help")


class EngineVerb(TyperCommand):
    """A command that hands its words to `app.cli`, and shows and completes the options there."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Its own options, then those of `app.cli`."""
        from app.cli.arguments import verb_parser

        super().format_help(ctx, formatter)
        parser = verb_parser(str(self.name), prog="detex")
        formatter.write(f"\nDetectron2's way, in full:\n\n{parser.format_help()}")

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Options of both."""
        from app.cli.arguments import verb_parser

        found = super().shell_complete(ctx, incomplete)
        known = {item.value for item in found}
        for action in verb_parser(str(self.name), prog="detex")._actions:
            for flag in action.option_strings:
                if incomplete.startswith("-") and flag.startswith(incomplete) and flag not in known:
                    found.append(CompletionItem(flag, help=action.help))
        return found


def run_verb(verb: str, words: Sequence[str]) -> int:
    """Do a verb of `app.cli`; its status."""
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
    """The status of an error that is logged; a traceback stands for bugs of ours only."""
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


def what_is_wrong(words: Sequence[str]) -> str:
    """Why words beside --in and --out are refused, in one sentence."""
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
