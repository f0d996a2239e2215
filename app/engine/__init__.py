"""The detection engine, a library: `from app.engine import load_model` (docs/python.md).

Nothing is imported before it is used, since importing torch takes seconds.

The telemetry of libraries is turned off: when ONNX Runtime is imported, it starts to write a device
id and a database of events for its vendor to the cache folder, unless this variable is set. So the
variable is set before any module of the engine can import ONNX Runtime.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from app.engine.errors import EngineError
    from app.engine.trained.found import Found, FoundObject
    from app.engine.trained.model import Model, load_model

__all__ = ["EngineError", "Found", "FoundObject", "Model", "load_model"]

_HOMES = {
    "EngineError": "errors",
    "Found": "trained.found",
    "FoundObject": "trained.found",
    "Model": "trained.model",
    "load_model": "trained.model",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
