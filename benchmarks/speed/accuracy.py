"""What a lower precision costs a trained model: average precision on BCCD's test photographs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from app.engine.checkpoint.load import load_weights
from app.engine.config import load_config
from app.engine.evaluation.evaluate import evaluate
from app.engine.layers.prepare import PRECISIONS, prepare_for_inference
from app.engine.modeling.build import build_detector
from benchmarks.bccd import CLASS_NAMES, read_split

METRICS = ("bbox/AP", "bbox/AP50", "bbox/AP75", *(f"bbox/AP-{name}" for name in CLASS_NAMES))


def measure(model_dir: Path, data: Path, precisions: Sequence[str]) -> dict[str, Any]:
    """The content of an `accuracy` record: the model of a training's output folder, BCCD's test."""
    cfg = load_config(model_dir / "config.yaml")
    cfg.MODEL.DEVICE = "cpu"
    model = build_detector(cfg)
    load_weights(model, model_dir / "model.pth").require_whole()
    records = read_split(data, "test")
    rows, reference = [], 0.0
    for precision in precisions:
        dtype = PRECISIONS[precision]
        evaluation = evaluate(
            prepare_for_inference(model.eval(), precision=precision),
            cfg,
            records,
            CLASS_NAMES,
            num_workers=0,
            dtype=None if dtype == torch.float32 else dtype,
        )
        values = [evaluation.metrics[name] for name in METRICS]
        reference = reference or values[0]
        rows.append([precision, *(f"{v:.2f}" for v in values), f"{values[0] - reference:+.2f}"])
    name = f"{cfg.MODEL.META_ARCHITECTURE} on {cfg.MODEL.BACKBONE.NAME}"
    return {
        "key": name,
        "title": f"Accuracy by precision: {name}, BCCD test",
        "columns": ["precision", *METRICS, "change of AP"],
        "rows": rows,
        "notes": f"{len(records)} photographs, {cfg.INPUT.MIN_SIZE_TEST} px; trained by "
        "`python -m benchmarks.bccd`; bound: 0.3 points for bf16.",
    }
