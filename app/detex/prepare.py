"""`detex prepare`: labelled images as people keep them -> a folder that `detex train` takes."""

import json
import logging
import shlex
import sys
from dataclasses import replace

import typer

from app.engine.config.yaml_file import read_config
from app.engine.errors import EngineError
from app.exchange.prepare.request import PrepareRequest
from app.exchange.prepare.run import prepare
from app.places import CONFIG_ROOT, weights_folders
from app.tasks.failures import told
from common.storage import remedy
from executor.errors import OutputError, StoppedError
from executor.hyperparameters import BOXES

_OPTIONS = {
    "annotated_frame (app.cli: DATASETS.ANNOTATED_FRAME)": "--annotated-frame",
    "set box_corners": "set --box-corners",
    "box_corners says so": "--box-corners says so",
}
"""Settings in the messages of the engine's readers -> the options that stand for them here."""

logger = logging.getLogger("app.detex")


def report(request: PrepareRequest, *, as_json: bool) -> int:
    """Make the folder; say what was read, left out and written. Returns the exit status."""
    logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr, force=True)
    try:
        outcome = prepare(replace(request, config_file=_first_model(request.config_file)), say=_say)
    except KeyboardInterrupt:
        logger.error("interrupted; nothing was made")
        return StoppedError.exit_status
    except Exception as error:
        known = _unwritable(error) if isinstance(error, OSError) else told(error)
        # Several smells are a line each, of which a platform shows one.
        sentence = in_options(str(error if isinstance(error, EngineError) else known))
        typer.echo(f"detex: {sentence}", err=True)
        if as_json:
            typer.echo(json.dumps({"status": known.exit_status, "error": sentence}))
        return known.exit_status
    for line in outcome.lines:
        typer.echo(in_options(line), err=as_json)
    if as_json:
        typer.echo(json.dumps({"status": 0, **outcome.account}, ensure_ascii=False))
    else:
        typer.echo(_next(request, is_labelled=outcome.is_labelled))
    return 0


def in_options(text: str) -> str:
    """The text with options in place of settings."""
    for setting, option in _OPTIONS.items():
        text = text.replace(setting, option)
    return text


def _say(text: str) -> None:
    if sys.stderr.isatty():
        typer.echo(f"{text} ...", err=True)


def _unwritable(error: OSError) -> OutputError:
    """Sources that cannot be read are counted or refused, so this is about the new folder."""
    place = error.filename2 or error.filename or "the new folder"
    return OutputError(f"{place}: {error.strerror or error}; {remedy(error)}")


def _first_model(wanted: str) -> str:
    """The wanted model, or another one if only the other's weights are here."""
    weights = str(read_config(CONFIG_ROOT / wanted).values["MODEL"]["WEIGHTS"])
    name = weights.rpartition("/")[2]
    if any((folder / name).is_file() for folder in weights_folders()):
        return wanted
    from app.tasks.weights_at_hand import configs_at_hand  # imports torch

    return next(iter(configs_at_hand(BOXES)), wanted)


def _next(request: PrepareRequest, *, is_labelled: bool) -> str:
    """The commands that can follow."""
    folder = shlex.quote(str(request.out))
    if is_labelled:
        return f"next: detex check {folder}; detex train --in {folder} --out RUN"
    model = "" if request.model else f" (put a trained model into {folder}/models first)"
    return f"next: detex mine --in {folder} --out RUN, or detex infer{model}"
