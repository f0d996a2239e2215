"""The parser of `args_options`, which holds detectron2's command-line text.

It accepts `--resume`, and KEY VALUE or KEY=VALUE for the engine's config. Everything else is an
error that names a replacement; nothing is silently ignored.
"""

import re
import shlex
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from app.engine.config import CLASS_SECTIONS, Fault
from executor.errors import ConfigError
from executor.mounts import mounted
from executor.other_words import instead_of, remark_on
from executor.task_words import Task

OWNED_KEYS = {
    "SOLVER.IMS_PER_BATCH": "batch_size",
    "SOLVER.MAX_ITER": "max_iter",
    "SOLVER.MAX_MINUTES": "max_minutes",
    "SOLVER.BASE_LR": "learning_rate",
    "SOLVER.CHECKPOINT_PERIOD": "checkpoint_period",
    "SOLVER.AMP.ENABLED": "amp",
    "SOLVER.AMP.DTYPE": "amp",
    "SOLVER.EMA.ENABLED": "ema",
    "TEST.EVAL_PERIOD": "eval_period",
    "TEST.PATIENCE": "patience",
    "DATALOADER.NUM_WORKERS": "num_workers",
    "SEED": "seed",
    "MODEL.DEVICE": "gpu_id",
    "MODEL.CLASS_NAMES": "class_names",
    **{f"MODEL.{section}.NUM_CLASSES": "class_names" for section in CLASS_SECTIONS},
    "DATASETS.TRAIN": "the training index",
    "DATASETS.TEST": "the validation index",
    "DATASETS.ANNOTATED_FRAME": "annotated_frame",
    "DATASETS.ACCEPTED_SMELLS": "accepted_smells",
    "OUTPUT_DIR": "the run's output folder",
}
"""Keys that config.yaml or the platform sets -> the setting that decides them."""

LAUNCHER_FLAGS = {
    "--config-file": "set config_file instead",
    "--num-gpus": "gpu_id decides how many GPUs are used",
    "--num-machines": "a run uses one machine",
    "--machine-rank": "a run uses one machine",
    "--dist-url": "the address is chosen automatically",
    "--eval-only": "run an infer task with the trained model",
}


ORIGIN = "args_options"

_KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)*")


@dataclass(frozen=True)
class EngineOptions:
    """The parsed `args_options`: whether to resume, and KEY VALUE ... for the config."""

    resume: bool = False
    overrides: tuple[str, ...] = ()


def parse_args_options(text: str) -> EngineOptions:
    """Parse the options; a ConfigError names every flag and key that is not allowed."""
    options, faults = inspect_args_options(text)
    if faults:
        raise ConfigError("\n".join(dict.fromkeys(map(str, faults))))
    return options


def inspect_args_options(text: str) -> tuple[EngineOptions, list[Fault]]:
    """Return the options that are allowed, and all faults of the others."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        return EngineOptions(), [_fault("", f"{error} in {text!r}; check the quotes")]
    flags, rest = _flags(words)
    faults = [_wrong_flag(flag) for flag in flags if flag not in ("--resume", "--opts")]
    pairs, alone = _paired(rest)
    faults += alone
    overrides: dict[str, str] = {}
    for key, value in pairs:
        wrong = _wrong_key(key, overrides)
        if wrong:
            faults.append(wrong)
        else:
            overrides[key] = mounted(value)
    flat = tuple(part for pair in overrides.items() for part in pair)
    return EngineOptions("--resume" in flags, flat), faults


def _fault(key: str, text: str) -> Fault:
    return Fault(key, f"{key} {text}" if key else text, ORIGIN)


def _flags(words: list[str]) -> tuple[list[str], list[str]]:
    """Split flags from other words; after an unknown flag, a word that is no key is its value."""
    flags: list[str] = []
    rest: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        is_value = before.startswith("--") and "=" not in before and not _looks_like_key(word)
        if word.startswith("--"):
            flags.append(word)
        elif not is_value or before in ("--resume", "--opts"):
            rest.append(word)
    return flags, rest


def _looks_like_key(word: str) -> bool:
    name = word.partition("=")[0]
    return "." in name and _KEY.fullmatch(name) is not None


def _wrong_flag(word: str) -> Fault:
    flag = word.split("=")[0]
    remedy = LAUNCHER_FLAGS.get(flag) or instead_of(flag, Task.TRAINING) or remark_on(flag)
    return _fault(
        flag, f"cannot be honoured; {remedy or 'only --resume and KEY VALUE pairs are understood'}"
    )


def _wrong_key(key: str, before: Mapping[str, str]) -> Fault | None:
    if key in OWNED_KEYS:
        return _fault(key, f"cannot be set here; {OWNED_KEYS[key]} decides it")
    if key in before:
        return _fault(key, "is written twice; keep one of them")
    if _KEY.fullmatch(key):
        return None
    remedy = instead_of(key, Task.TRAINING) or remark_on(key)
    return _fault(key, f"is no key of the config; {remedy}") if remedy else None


def _paired(words: list[str]) -> tuple[list[tuple[str, str]], list[Fault]]:
    """Return the pairs of keys and values (a list with blanks is one value), and the faults."""
    pairs: list[tuple[str, str]] = []
    alone: list[Fault] = []
    rest = deque(words)
    while rest:
        key, equals, value = rest.popleft().partition("=")
        if not equals:
            if not rest or _looks_like_key(rest[0]):
                alone.append(_fault(key, "has no value; write pairs such as SOLVER.GAMMA 0.1"))
                continue
            value = rest.popleft()
        while _is_open(value) and rest:
            value += f" {rest.popleft()}"
        pairs.append((key, value))
    return pairs, alone


def _is_open(value: str) -> bool:
    """Whether a list continues in the next word, like `(60,` of `(60, 80)`."""
    return value.startswith(("(", "[")) and any(
        value.count(left) > value.count(right) for left, right in ("()", "[]")
    )
