"""Average precision of a trained model in each number format, on BCCD's test photographs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from app.engine.checkpoint.load import load_weights
from app.engine.config import CfgNode, load_config
from app.engine.cpu import winograd
from app.engine.cpu.prepare import PRECISIONS, prepare_for_inference
from app.engine.evaluation.evaluate import evaluate
from app.engine.export._accuracy import coco_metrics
from app.engine.modeling.build import build_detector
from app.engine.predictor.onnx_card import FILE_NAMES
from app.engine.structures.record import ImageRecord
from benchmarks.bccd import CLASS_NAMES, read_split
from benchmarks.speed.report import described
from benchmarks.speed.verb import Options, Parser

METRICS = ("AP", "AP50", "AP75", *(f"AP-{name}" for name in CLASS_NAMES))


EXPORTED = {f"onnx:{numbers}": name for numbers, name in FILE_NAMES.items()}
"""Files of exported models beside the weights, by the precision that names them here."""


KIND = "accuracy"


def add_options(parser: Parser) -> None:
    """Options for the trained model, the data and the precisions."""
    parser.add_argument("--model", type=Path, required=True, help="folder of a trained model")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds BCCD/")
    parser.add_argument(
        "--precision", action="append", help="onnx:fp32 and onnx:int8, too; default: fp32 and bf16"
    )


def contents(options: Options) -> Iterator[dict[str, Any]]:
    """One record."""
    yield measure(options.model, options.data, options.precision or ["fp32", "bf16"])


describe = described


def measure(model_dir: Path, data: Path, precisions: Sequence[str]) -> dict[str, Any]:
    """The content of an `accuracy` record: the model of a training's output folder, BCCD's test."""
    cfg = load_config(model_dir / "config.yaml")
    cfg.MODEL.DEVICE = "cpu"
    records = read_split(data, "test")
    rows, reference = [], 0.0
    for name in precisions:
        if name in EXPORTED:
            metrics = coco_metrics(model_dir / EXPORTED[name], records, CLASS_NAMES)["bbox"]
        else:
            metrics = _of_weights(cfg, model_dir / "model.pth", records, name)
        values = [metrics[metric] for metric in METRICS]
        reference = reference or values[0]
        rows.append([name, *(f"{v:.2f}" for v in values), f"{values[0] - reference:+.2f}"])
    model_name = f"{cfg.MODEL.META_ARCHITECTURE} on {cfg.MODEL.BACKBONE.NAME}"
    return {
        "key": model_name,
        "title": f"Accuracy by precision: {model_name}, BCCD test",
        "columns": ["precision", *METRICS, "change of AP"],
        "rows": rows,
        "notes": f"{len(records)} photographs, {cfg.INPUT.MIN_SIZE_TEST} px; trained by "
        "`python -m benchmarks.bccd`; bounds: 0.3 points for bf16, 1.0 for int8. 3x3 "
        f"convolutions of {winograd.FEWEST_CHANNELS} and more channels run by Winograd's tiles in "
        "torch. onnx: the exported files in ONNX Runtime, int8 calibrated on training images.",
    }


def _of_weights(
    cfg: CfgNode, weights: Path, records: Sequence[ImageRecord], precision: str
) -> dict[str, float]:
    """Metrics of the model in torch."""
    model = build_detector(cfg)
    load_weights(model, weights).require_whole()
    dtype = PRECISIONS[precision]
    prepared = prepare_for_inference(model.eval(), precision=precision)
    evaluation = evaluate(
        prepared,
        cfg,
        records,
        CLASS_NAMES,
        num_workers=0,
        dtype=None if dtype == torch.float32 else dtype,
    )
    return {name.removeprefix("bbox/"): value for name, value in evaluation.metrics.items()}
