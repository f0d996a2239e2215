"""`args_options`: detectron2's command-line text, taken apart.

Understood: `--resume`, and KEY VALUE pairs for the engine's config (KEY=VALUE, too). Everything
else is an error that names what to use instead; nothing is silently ignored.
"""

import shlex
from dataclasses import dataclass

from executor.errors import ConfigError

OWNED_KEYS = {
    "SOLVER.IMS_PER_BATCH": "batch_size",
    "SOLVER.MAX_ITER": "max_iter",
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
    "MODEL.RETINANET.NUM_CLASSES": "class_names",
    "MODEL.ROI_HEADS.NUM_CLASSES": "class_names",
    "MODEL.FCOS.NUM_CLASSES": "class_names",
    "DATASETS.TRAIN": "the training index",
    "DATASETS.TEST": "the validation index",
    "OUTPUT_DIR": "the run's output folder",
}
"""Keys that config.yaml or the platform decides, and by what."""

LAUNCHER_FLAGS = {
    "--config-file": "set config_file instead",
    "--num-gpus": "gpu_id decides how many GPUs are used",
    "--num-machines": "a run uses one machine",
    "--machine-rank": "a run uses one machine",
    "--dist-url": "the address is chosen automatically",
    "--eval-only": "run an infer task with the trained model",
}


@dataclass(frozen=True)
class EngineOptions:
    """What `args_options` asks for: to resume, and KEY VALUE ... for the config."""

    resume: bool = False
    overrides: tuple[str, ...] = ()


def parse_args_options(text: str) -> EngineOptions:
    """The options in a text; ConfigError for a flag or key that cannot be honoured."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"args_options: {error} in {text!r}; check the quotes") from error
    pairs = [word for word in words if word not in ("--resume", "--opts")]
    for word in pairs:
        _refuse_flag(word)
    overrides = tuple(part for word in pairs for part in _split_assignment(word))
    if len(overrides) % 2:
        raise ConfigError(
            f"args_options: {overrides[-1]!r} has no value; write pairs such as SOLVER.GAMMA 0.1, "
            "without blanks in a value: SOLVER.STEPS (60,80)"
        )
    for key in overrides[::2]:
        if key in OWNED_KEYS:
            raise ConfigError(
                f"args_options: {key} cannot be set here; {OWNED_KEYS[key]} decides it"
            )
    return EngineOptions("--resume" in words, overrides)


def _refuse_flag(word: str) -> None:
    flag = word.split("=")[0]
    if flag.startswith("--"):
        remedy = LAUNCHER_FLAGS.get(flag, "only --resume and KEY VALUE pairs are understood")
        raise ConfigError(f"args_options: {flag} cannot be honoured; {remedy}")


def _split_assignment(word: str) -> list[str]:
    """KEY=VALUE -> KEY, VALUE where the key is a dotted upper-case name."""
    key, equals, value = word.partition("=")
    return [key, value] if equals and key.isupper() and "." in key else [word]
