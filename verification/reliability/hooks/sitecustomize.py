"""Record a training's iterations; Python loads this file at its start if PYTHONPATH has the folder.

The product has no hooks for tests. This file does not change it; once the module of `Run` is
imported, each finished iteration is appended to $RELIABILITY_STEPS in one system call, so that a
SIGKILL loses none.
"""

import importlib.abc
import importlib.machinery
import os
import sys
from types import ModuleType
from typing import Any

_MODULE = "app.engine.training.state.run"


class _Loader(importlib.abc.Loader):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._inner.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        self._inner.exec_module(module)
        count = module.Run.count_iteration
        log = os.open(os.environ["RELIABILITY_STEPS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

        def counted(run: Any) -> None:
            count(run)
            os.write(log, b"%d\n" % run.iteration)

        module.Run.count_iteration = counted


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Any, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None:
            spec.loader = _Loader(spec.loader)
        return spec


if "RELIABILITY_STEPS" in os.environ:
    sys.meta_path.insert(0, _Finder())
