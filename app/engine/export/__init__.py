"""Models for other programs: each file of this room writes one kind of file.

Names with `_` are helpers; a file is imported when it is used, for ONNX's libraries take seconds.
Reading such files is not done here: `predictor.OnnxPredictor`.
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
    "safetensors": _on_use("safetensors"),
}
"""What `export --format` can name; the traits of each say what else can."""
