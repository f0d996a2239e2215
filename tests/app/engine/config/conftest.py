"""A config that records which code reads it."""

import copy
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from app.engine.config import CfgNode, load_config

CONFIGS = Path(__file__).parents[4] / "configs"
OF_THE_CONFIG = (__name__, CfgNode.__module__)


class WatchedConfig(CfgNode):
    """Notes for each dotted key the modules that have read it, in `readers`."""

    readers: ClassVar[defaultdict[str, set[str]]] = defaultdict(set)

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        dict.__init__(self)
        object.__setattr__(self, "_path", path)
        for key, value in values.items():
            inner = isinstance(value, Mapping)
            dict.__setitem__(self, key, WatchedConfig(value, f"{path}{key}.") if inner else value)

    def __getitem__(self, name: str) -> Any:
        value = dict.__getitem__(self, name)
        if not isinstance(value, CfgNode):
            frame = sys._getframe(1)
            while frame.f_back is not None and frame.f_globals["__name__"] in OF_THE_CONFIG:
                frame = frame.f_back
            self.readers[self._path + name].add(frame.f_globals["__name__"])
        return value

    def __deepcopy__(self, memo: dict[int, Any]) -> "WatchedConfig":
        copied = WatchedConfig(copy.deepcopy(dict(self.items()), memo), self._path)
        copied._set_frozen(self._frozen)
        return copied


@pytest.fixture(scope="session")
def readers() -> dict[str, set[str]]:
    """Key -> modules that have read it so far."""
    return WatchedConfig.readers


@pytest.fixture(scope="session")
def watched() -> Callable[..., CfgNode]:
    """Load a file of configs/ with `KEY="value"` overrides, as a config that is watched."""

    def load(name: str, overrides: Mapping[str, str] | None = None) -> CfgNode:
        settings = {"MODEL.DEVICE": "cpu", "MODEL.WEIGHTS": "", **(overrides or {})}
        flat = [part for pair in settings.items() for part in pair]
        return WatchedConfig(load_config(CONFIGS / name, flat))

    return load
