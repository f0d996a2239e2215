"""The start weights of a training, and remedies for users who do not have them."""

from pathlib import Path

from app.engine.checkpoint.weights import find_weights, local_weights
from app.engine.config import load_config
from app.engine.config.yaml_file import read_config
from app.engine.errors import EngineError
from app.places import CONFIG_ROOT, weights_folders
from app.tasks.config_file import finds, named_configs

NAMED_CONFIGS = 3
"""Number of config files that an error names."""


def find_start_weights(weights: str, object_type: int) -> Path | None:
    """Return the file that `MODEL.WEIGHTS` of a training names, or None for ''.

    If it is not found, the error lists remedies for platform users, such as other configs whose
    models find this type of object.
    """
    return find_weights(
        weights,
        weights_folders(),
        allow_download=True,
        remedies=lambda: remedies(weights, object_type),
    )


def remedies(weights: str, object_type: int) -> str:
    """Say what to do about weights that are not on this machine and cannot be downloaded."""
    here = configs_at_hand(object_type)
    another = f"choose a config_file whose weights are here ({', '.join(here)}), " if here else ""
    name = weights.partition("?")[0].rpartition("/")[2]
    return (
        f'set args_options: MODEL.WEIGHTS "" to start from random weights, {another}or ask the '
        f"administrator to put {name} into {weights_folders()[0]} or the image's /opt/weights"
    )


def configs_at_hand(object_type: int) -> list[str]:
    """Return the first configs of this type whose weights are here, small models first."""
    folders = weights_folders()
    found: list[str] = []
    for path in sorted(named_configs(), key=lambda path: "Mobile" not in path.parts):
        weights = read_config(path).values.get("MODEL", {}).get("WEIGHTS")
        if weights and local_weights(weights, folders) and _finds(path, object_type):
            found.append(str(path.relative_to(CONFIG_ROOT)))
        if len(found) == NAMED_CONFIGS:
            break
    return found


def _finds(path: Path, object_type: int) -> bool:
    try:
        return finds(load_config(path), object_type)
    except EngineError:
        return False
