"""What a lower precision costs a trained model: average precision on BCCD's test photographs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from app.engine.checkpoint.load import load_weights
from app.engine.config import load_config
from app.engine.evaluation.evaluate import evaluate
from app.engine.layers import winograd
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
    ways: list[tuple[str, dict[torch.dtype, int]]] = [(p, {}) for p in precisions]
    # As in wide networks, whose 3x3 convolutions run by Winograd's tiles: this one is too narrow.
    ways += [(f"{p}, tiles", dict.fromkeys(winograd.FEWEST_CHANNELS, 64)) for p in precisions]
    for name, fewest_channels in ways:
        precision = name.partition(",")[0]
        dtype = PRECISIONS[precision]
        with mock.patch.dict(winograd.FEWEST_CHANNELS, fewest_channels):
            prepared = prepare_for_inference(model.eval(), precision=precision)
        evaluation = evaluate(
            prepared,
            cfg,
            records,
            CLASS_NAMES,
            num_workers=0,
            dtype=None if dtype == torch.float32 else dtype,
        )
        values = [evaluation.metrics[metric] for metric in METRICS]
        reference = reference or values[0]
        rows.append([name, *(f"{v:.2f}" for v in values), f"{values[0] - reference:+.2f}"])
    model_name = f"{cfg.MODEL.META_ARCHITECTURE} on {cfg.MODEL.BACKBONE.NAME}"
    return {
        "key": model_name,
        "title": f"Accuracy by precision: {model_name}, BCCD test",
        "columns": ["precision", *METRICS, "change of AP"],
        "rows": rows,
        "notes": f"{len(records)} photographs, {cfg.INPUT.MIN_SIZE_TEST} px; trained by "
        "`python -m benchmarks.bccd`; bound: 0.3 points for bf16. Tiles: 3x3 convolutions of 64 "
        "and more channels run by Winograd's tiles, as those of 192 and more do in bf16 elsewhere "
        "(128 in fp32).",
    }
