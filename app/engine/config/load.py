"""From defaults, a YAML file and overrides to one config, with everything that is wrong in it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from app.engine.config.contradictions import contradictions
from app.engine.config.defaults import DETECTRON2, OWN
from app.engine.config.faults import Fault, Leaves, refuse
from app.engine.config.feature_maps import feature_faults
from app.engine.config.metrics import metric_faults
from app.engine.config.node import CfgNode, nested
from app.engine.config.support import wrong_values
from app.engine.config.upgrade import read_upgraded
from app.engine.errors import ConfigError

TRAINING_ONLY = (
    "SOLVER.",
    "DATALOADER.",
    "SEED",
    "VIS_PERIOD",
    "INPUT.MIN_SIZE_TRAIN",
    "INPUT.MAX_SIZE_TRAIN",
    "INPUT.CROP.",
    "INPUT.LSJ.",
    "INPUT.COLOR_JITTER",
    "INPUT.RANDOM_FLIP",
    "INPUT.RECOMPUTE_BOXES",
    "TEST.EXPECTED_RESULTS",
    "TEST.EVAL_PERIOD",
    "TEST.METRIC",
    "TEST.PATIENCE",
    "TEST.PRECISE_BN.",
)
"""Beginnings of keys that only a training reads; a trained model's config still holds them."""


def get_config() -> CfgNode:
    """A fresh config with every default."""
    cfg = CfgNode(DETECTRON2).clone()
    _add(CfgNode(OWN).clone(), cfg)
    return cfg


def load_config(
    path: Path | str, overrides: Sequence[str] = (), *, origin: str = "overrides"
) -> CfgNode:
    """The defaults, then a YAML file, then `KEY VALUE ...`; refused where nothing supports it.

    `origin` is where the overrides come from, for the messages.
    """
    cfg, faults = inspect_config(path, overrides, origin=origin)
    refuse(faults)
    return cfg


def load_model_config(path: Path | str) -> CfgNode:
    """The config of a trained model: what only its training asked for is not judged again."""
    cfg, faults = inspect_config(path)
    refuse(fault for fault in faults if not fault.key.startswith(TRAINING_ONLY))
    return cfg


def inspect_config(
    path: Path | str | None,
    overrides: Sequence[str] = (),
    *,
    origin: str = "overrides",
    class_names: Collection[str] | None = None,
) -> tuple[CfgNode, list[Fault]]:
    """The same config as far as it is right, and everything that is wrong with it.

    path         None: only the overrides are looked at
    class_names  of the data set, where they are known and COCO's rules judge it
    """
    cfg = get_config()
    faults: list[Fault] = []
    origins: dict[str, str] = {}
    if path is not None:
        try:
            file = read_upgraded(path, meta_architecture=cfg.MODEL.META_ARCHITECTURE)
        except ConfigError as error:
            faults.append(Fault("", str(error)))
            path = None
        else:
            faults += cfg.take(file.values, file.origins)
            origins |= file.origins
    if len(overrides) % 2:
        alone = f"{overrides[-1]!r} stands alone; write KEY VALUE pairs"
        faults.append(Fault(overrides[-1], alone, origin))
    for key, value in zip(overrides[::2], overrides[1::2], strict=False):
        faults += cfg.take(nested(key, value), {key: origin})
        origins[key] = origin
    leaves = dict(cfg.leaves())
    found = list(wrong_values(leaves))
    if path is not None:
        if not faults and not found:  # else keys may disagree only because one of them is wrong
            found = list(_disagreements(leaves))
        if "TEST.METRIC" not in [fault.key for fault in (*faults, *found)]:
            found += metric_faults(leaves, class_names=class_names)
    faults += [_blamed(fault, origins, origin) for fault in found]
    return cfg, faults


def _blamed(fault: Fault, origins: Mapping[str, str], last: str) -> Fault:
    """The fault of the key that was written last: a file below it agreed with itself."""
    keys = (fault.key, *fault.others)
    key = next((key for key in keys if origins.get(key) == last), fault.key)
    return replace(fault, key=key, origin=origins.get(key, ""))


def check_supported(cfg: CfgNode) -> None:
    """ConfigError naming every value that this engine refuses, and why."""
    leaves = dict(cfg.leaves())
    refuse(list(wrong_values(leaves)) or [*_disagreements(leaves), *metric_faults(leaves)])


def _disagreements(leaves: Leaves) -> Iterator[Fault]:
    yield from contradictions(leaves)
    yield from feature_faults(leaves)


def _add(new: CfgNode, cfg: CfgNode) -> None:
    for key, value in new.items():
        if isinstance(value, CfgNode) and key in cfg:
            _add(value, cfg[key])
        else:
            cfg[key] = value
