"""Predictors: they detect objects in images or files with a trained model.

`Predictor` computes with torch, `OnnxPredictor` with ONNX Runtime. Each is imported only when it
is used, since importing torch takes longer than a first detection with ONNX Runtime.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from app.engine.imports import lasting_imports

if TYPE_CHECKING:
    from app.engine.predictor.onnx_predictor import OnnxPredictor
    from app.engine.predictor.predictor import PRECISIONS, Predictor

__all__ = ["PRECISIONS", "OnnxPredictor", "Predictor"]

_HOMES = {"OnnxPredictor": "onnx_predictor", "PRECISIONS": "predictor", "Predictor": "predictor"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with lasting_imports():
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
