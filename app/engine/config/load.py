"""Build a config from defaults, a YAML file and overrides, and find all its faults."""

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
"""Prefixes of keys that only training reads; the config of a trained model still has them."""


def get_config() -> CfgNode:
    """Return a new config with all defaults."""
    cfg = CfgNode(DETECTRON2).clone()
    _add(CfgNode(OWN).clone(), cfg)
    return cfg


def load_config(
    path: Path | str, overrides: Sequence[str] = (), *, origin: str = "overrides"
) -> CfgNode:
    """Load defaults, a YAML file and `KEY VALUE ...` overrides; ConfigError if there is a fault.

    `origin` is the source of the overrides in messages.
    """
    cfg, faults = inspect_config(path, overrides, origin=origin)
    refuse(faults)
    return cfg


def load_model_config(path: Path | str) -> CfgNode:
    """Load the config of a trained model, without checking the keys that only training reads."""
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
    """Like `load_config`, but return the config without its wrong values, and all faults.

    path         None: only the overrides are checked
    class_names  of the data set, if they are known and it is evaluated by COCO's rules
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
        if not faults and not found:  # wrong values would only cause more contradictions
            found = list(_disagreements(leaves))
        if "TEST.METRIC" not in [fault.key for fault in (*faults, *found)]:
            found += metric_faults(leaves, class_names=class_names)
    faults += [_blamed(fault, origins, origin) for fault in found]
    return cfg, faults


def _blamed(fault: Fault, origins: Mapping[str, str], last: str) -> Fault:
    """Assign the fault to a key that an override has set: the file alone may be valid."""
    keys = (fault.key, *fault.others)
    key = next((key for key in keys if origins.get(key) == last), fault.key)
    return replace(fault, key=key, origin=origins.get(key, ""))


def check_supported(cfg: CfgNode) -> None:
    """Raise ConfigError with all values that this engine does not support, and the reasons."""
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
