"""Exports models for other programs: each module of this package writes one format.

Modules with `_` are helpers. A module is imported only when it is used, because importing ONNX's
libraries takes seconds. `predictor.OnnxPredictor` reads exported files.
"""

from importlib import import_module
from pathlib import Path

from app.engine.export._job import Exporter, ExportJob, spread

__all__ = ["EXPORTERS", "ExportJob", "Exporter", "spread"]


def _on_use(name: str) -> Exporter:
    def export(job: ExportJob) -> list[Path]:
        files: list[Path] = import_module(f"{__name__}.{name}").export(job)
        return files

    return export


EXPORTERS: dict[str, Exporter] = {
    "detectron2": _on_use("detectron2"),
    "onnx": _on_use("onnx"),
    "int8": _on_use("int8"),
    "onnx-raw": _on_use("onnx_raw"),
    "safetensors": _on_use("safetensors"),
}
"""Exporters by the values of `export --format`; `TRAITS` of each describes where it applies."""
