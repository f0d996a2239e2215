"""Identifies the model of a checkpoint; a checkpoint of another model is refused."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from app.engine.config import NAMES, CfgNode
from app.engine.errors import CheckpointError
from app.engine.training.state.settings import Settings, changes_between

FORMAT = 1
"""Version of the checkpoints, to be raised when older programs could misread new ones."""


def identity(cfg: CfgNode, class_names: Sequence[str]) -> dict[str, Any]:
    """Return the values that must be the same in an interrupted run and its continuation."""
    model = json.loads(json.dumps(cfg.MODEL, default=str))
    for key in ("DEVICE", "WEIGHTS", *NAMES):
        model.pop(key, None)
    digest = hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest()
    return {
        "model": digest,
        "class_names": list(class_names),
        "image_format": str(cfg.INPUT.FORMAT),
        "ims_per_batch": int(cfg.SOLVER.IMS_PER_BATCH),  # may change; the first release asks for it
    }


def check_same_model(
    state: dict[str, Any], mine: dict[str, Any], settings: Settings, *, source: str
) -> None:
    """Raise CheckpointError unless `state` belongs to a run like `mine`."""
    if state["format"] != FORMAT:
        raise CheckpointError(
            f"{source} was written by another version (format {state['format']}); "
            "remove it to train anew, or use the version that wrote it"
        )
    saved = state["identity"]
    for key, what in (
        ("model", f"another model{_differences(state, settings)}"),
        ("class_names", f"other classes ({_listed(saved)}, not {_listed(mine)})"),
        ("image_format", f"another INPUT.FORMAT ({saved['image_format']})"),
    ):
        if saved[key] != mine[key]:
            raise CheckpointError(
                f"{source} belongs to a run with {what}; remove it or write elsewhere to train "
                "anew, or use the configuration it was made with"
            )


def _differences(state: dict[str, Any], settings: Settings) -> str:
    """Return the keys of MODEL whose values differ, with their values in `state`."""
    changes = changes_between(state.get("settings"), settings)
    different = [
        f"{key} was {old}"
        for key, (old, _) in changes.items()
        if key.startswith("MODEL.") and key != "MODEL.WEIGHTS"
    ]
    return f" ({', '.join(different)})" if different else ""


def _listed(identity: dict[str, Any]) -> str:
    return ", ".join(identity["class_names"])
