"""`detex configs`: the models that `config_file` can name, and the purpose of each."""

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from app.engine.checkpoint.weights import local_weights
from app.engine.config import CfgNode, load_config
from app.engine.config.yaml_file import read_config
from app.places import CONFIG_ROOT, weights_folders
from app.tasks.config_file import finds, named_configs, suggested_config
from executor.errors import ConfigError
from executor.hyperparameters import BOXES, INSTANCE_SEGMENTATION

if TYPE_CHECKING:
    from app.engine.modeling.detector import Detector

_NUM_TIMES = 3
_PICTURE = (480, 640)
"""Height and width in pixels of the image with which a model is timed."""

_NOTES = """
weights     here: a training starts without a network; else the file that is looked for
*           not for a task's folders: `detex train --config-file ...` (detectron2's way)"""

_TASKS = {BOXES: "boxes", INSTANCE_SEGMENTATION: "masks"}
_COMMAND_LINE_ONLY = (
    ("MODEL.KEYPOINT_ON", "keypoints"),
    ("MODEL.LOAD_PROPOSALS", "boxes"),
)


@dataclass(frozen=True)
class Described:
    """A model.

    finds        boxes, masks (and boxes), keypoints, ...
    in_tasks     whether a task's config.yaml may name it
    parameters   number of parameters, with the file's number of classes
    weights      start weights of a training: "here", "none", or the file that is not here
    about        the comment at the top of the file
    seconds      time for one image of 640 x 480, with random weights; None: not measured
    """

    config_file: str
    finds: str
    in_tasks: bool
    parameters: int
    weights: str
    about: str
    seconds: float | None = None


def report(names: Sequence[str], *, measure: bool, as_json: bool) -> int:
    """Print the models whose path contains one of `names`, or all; return the exit status."""
    chosen = [path for path in named_configs() if _is_meant(path, names)]
    if not chosen:
        near = suggested_config(names[0])
        typer.echo(f"detex: no config is named so; did you mean {near}?", err=True)
        return ConfigError.exit_status
    if not as_json:
        speed = "  s/image" if measure else ""
        typer.echo(f"{'config_file':72}  {'finds':10} {'parameters':>10}{speed}  weights")
    for path in chosen:
        described = describe(path, measure=measure)
        line = (
            json.dumps(asdict(described), ensure_ascii=False)
            if as_json
            else _row(described, measure)
        )
        typer.echo(line)
    if not as_json:
        typer.echo(_NOTES)
    return 0


def _is_meant(path: Path, names: Sequence[str]) -> bool:
    known = str(path.relative_to(CONFIG_ROOT)).lower()
    return not names or any(name.lower() in known for name in names)


def _row(described: Described, measure: bool) -> str:
    speed = "-" if described.seconds is None else f"{described.seconds:.3f}"
    speed = f"  {speed:>7}" if measure else ""
    finds = described.finds if described.in_tasks else f"{described.finds} *"
    size = f"{described.parameters / 1e6:8.1f} M"
    row = f"{described.config_file:72}  {finds:10} {size}{speed}  {described.weights}"
    return f"{row} ({described.about})" if described.about else row


def at_hand(path: Path) -> str | None:
    """Return the path of a config's weights; '' if it has none, None if they are not here."""
    wanted = _weights_of(path)
    if not wanted:
        return ""
    found = local_weights(wanted, weights_folders())
    return None if found is None else str(found)


@cache
def _weights_of(path: Path) -> str:
    return str(read_config(path).values.get("MODEL", {}).get("WEIGHTS") or "")


def describe(path: Path, *, measure: bool) -> Described:
    """Return the purpose of a config, the size of its network and, if asked, its speed."""
    cfg = load_config(path)
    kinds = [word for number, word in _TASKS.items() if finds(cfg, number)]
    place = at_hand(path)
    wanted = _weights_of(path)
    weights = "none" if place == "" else "here" if place else wanted.rpartition("/")[2]
    return Described(
        config_file=str(path.relative_to(CONFIG_ROOT)),
        finds=kinds[-1] if kinds else _other_kind(cfg),
        in_tasks=bool(kinds),
        parameters=sum(parameter.numel() for parameter in _network(cfg).parameters()),
        weights=weights,
        about=_about(path),
        seconds=_measured(cfg) if measure else None,
    )


def _about(path: Path) -> str:
    """Return the comment in the first line."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip().rstrip(".") if first.startswith("#") else ""


def _other_kind(cfg: CfgNode) -> str:
    """Return the output kind of a model that only detectron2's verbs can use."""
    leaves: dict[str, Any] = dict(cfg.leaves())
    for key, word in _COMMAND_LINE_ONLY:
        if leaves[key]:
            return word
    words = {
        "PanopticFPN": "panoptic",
        "SemanticSegmentor": "semantic",
        "ProposalNetwork": "proposals",
    }
    return words.get(str(cfg.MODEL.META_ARCHITECTURE), str(cfg.MODEL.META_ARCHITECTURE))


def _network(cfg: CfgNode) -> "Detector":
    """Build the network without memory for its weights."""
    import torch

    from app.engine.modeling.build import build_blank_detector

    blank = cfg.clone()
    blank.defrost()
    blank.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        return build_blank_detector(blank)


def _measured(cfg: CfgNode) -> float | None:
    """Return the median seconds for one image on the device that a task would choose; None for a
    model that needs more than an image.
    """
    if cfg.MODEL.LOAD_PROPOSALS:
        return None
    import numpy as np
    import torch

    from app.engine.modeling.build import build_detector
    from app.engine.predictor import Predictor

    own = cfg.clone()
    own.defrost()
    own.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    predictor = Predictor(build_detector(own).eval(), own, consume=True)
    picture = np.random.default_rng(0).integers(0, 256, (*_PICTURE, 3), dtype=np.uint8)
    times = []
    for _ in range(1 + _NUM_TIMES):  # the first pass is a warm-up
        start = time.perf_counter()
        predictor.detect([picture])
        times.append(time.perf_counter() - start)
    return round(statistics.median(times[1:]), 4)
