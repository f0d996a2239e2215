"""This engine's exported models in ONNX Runtime: precision fp32 or int8.

Files are made at the first call, in build/speed, from the seeded weights of the parity checks. The
8-bit ones are calibrated on drawn scenes, so only their speed is meaningful; the card of a trained
model has its accuracy.
"""

import os
from pathlib import Path

from PIL import Image

from app.engine.predictor import OnnxPredictor
from benchmarks import REPOSITORY
from benchmarks.speed.engines import Array, Engine, Workload

FOLDER = REPOSITORY / "build" / "speed"


def load(workload: Workload, precision: str) -> Engine:
    """Return a function from an image to its detections."""
    os.environ["OMP_NUM_THREADS"] = str(workload.threads)
    path = _file(workload, precision)
    predictor = OnnxPredictor(path, image_size=workload.short)

    def detect(pixels: Array) -> dict[str, Array]:
        (found,) = predictor.detect([pixels])
        return {"boxes": found.boxes, "scores": found.scores, "classes": found.classes}

    return detect


def _file(workload: Workload, precision: str) -> Path:
    folder = FOLDER / f"{workload.config}_{workload.short}"
    source, target = folder / "model.onnx", folder / f"model.{precision}.onnx"
    if not source.is_file():
        _export(workload, folder)
    if precision == "fp32":
        return source
    if not target.is_file():
        # Imported only here: the time to the first result must not include the export.
        import onnx

        from app.engine.export._quantize import quantized

        reader = OnnxPredictor(source, image_size=min(workload.short, 480))
        model = quantized(onnx.load(source), reader, _scenes(folder))
        target.write_bytes(model.SerializeToString())
    return target


def _export(workload: Workload, folder: Path) -> None:
    from app.engine.export import EXPORTERS, ExportJob
    from benchmarks.speed.engine_ours import build_model

    model, cfg = build_model(workload)
    names = [f"class {number}" for number in range(80)]
    images = _scenes(folder)
    job = ExportJob(model=model, cfg=cfg, class_names=names, directory=folder, images=images)
    EXPORTERS["onnx"](job)


def _scenes(folder: Path) -> list[Path]:
    from verification.parity.scenes import image

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed in range(4):
        paths.append(folder / f"scene_{seed}.png")
        if not paths[-1].is_file():
            Image.fromarray(image(320, 480, seed=seed)).save(paths[-1])
    return paths
