"""Models for other programs: each file of this room writes one kind of file.

Names with `_` are helpers. Reading such files is not done here: `predictor.OnnxPredictor`.
"""

from app.engine.export import detectron2, int8, onnx, safetensors
from app.engine.export._job import Exporter, ExportJob, spread

__all__ = ["EXPORTERS", "ExportJob", "Exporter", "spread"]

EXPORTERS: dict[str, Exporter] = {
    "detectron2": detectron2.export,
    "int8": int8.export,
    "onnx": onnx.export,
    "safetensors": safetensors.export,
}
"""What `export --format` can name."""
