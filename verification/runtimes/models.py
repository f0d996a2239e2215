"""Small models of every architecture that can be exported, trained on drawn scenes and cached."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.cli.settings import open_model
from app.engine.checkpoint.weights import find_weights
from app.engine.config import CfgNode, load_config, set_classes
from app.engine.export import EXPORTERS, ExportJob
from app.engine.training.request import TrainRequest
from app.engine.training.train import train
from verification import REPOSITORY
from verification.runtimes import scenes

logger = logging.getLogger(__name__)

FOLDER = REPOSITORY / "build" / "runtimes"
WEIGHTS = REPOSITORY / ".cache" / "weights"


def folder_of(name: str) -> Path:
    """Return the folder of a model's files."""
    return FOLDER / name.lower().replace(" ", "-")


MODELS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "RetinaNet": ("Mobile/retinanet_mobilenetv2_FPN_light", {}),
    "FCOS": (
        "Mobile/retinanet_mobilenetv2_FPN_light",
        {"MODEL.META_ARCHITECTURE": "FCOS", "MODEL.FCOS.NUM_CONVS": 2},
    ),
    "Mask R-CNN": ("Mobile/mask_rcnn_mobilenetv2_FPN_light", {}),
    "Faster R-CNN": (
        "Mobile/faster_rcnn_mobilenetv2_FPN_light",
        {"MODEL.WEIGHTS": str(folder_of("Mask R-CNN") / "model.pth"), "SOLVER.MAX_ITER": 20},
    ),
    "Cascade R-CNN": (
        "Mobile/faster_rcnn_mobilenetv2_FPN_light",
        {
            "MODEL.ROI_HEADS.NAME": "CascadeROIHeads",
            "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": True,
            "MODEL.RPN.POST_NMS_TOPK_TRAIN": 2000,
        },
    ),
}
"""Architecture -> config file and what differs from it."""

_RECIPE: Mapping[str, Any] = {
    "SOLVER.IMS_PER_BATCH": 4,
    "SOLVER.MAX_ITER": 150,
    "SOLVER.WARMUP_ITERS": 10,
    "SOLVER.EMA.ENABLED": False,
    "INPUT.MIN_SIZE_TRAIN": (192, 256),
    "INPUT.MAX_SIZE_TRAIN": 400,
    "INPUT.MIN_SIZE_TEST": 256,
    "INPUT.MAX_SIZE_TEST": 400,
    "MODEL.DEVICE": "cpu",
    "DATALOADER.NUM_WORKERS": 0,
    "TEST.EVAL_PERIOD": 0,
}
_TRAINING = {"number": 64, "height": 192, "width": 256}
_VALIDATION = {"number": 24, "height": 256, "width": 320}


def config_of(name: str) -> CfgNode:
    """Return the config of a model of `MODELS`."""
    file, changes = MODELS[name]
    values = [part for item in {**_RECIPE, **changes}.items() for part in item]
    cfg = load_config(REPOSITORY / "configs" / f"{file}.yaml", [str(value) for value in values])
    set_classes(cfg, list(scenes.CLASS_NAMES))
    cfg.freeze()
    return cfg


def weights_of(name: str) -> Path:
    """Return the model's weights; train it if there are none."""
    path = folder_of(name) / "model.pth"
    if not path.is_file():
        _train(name, path)
    return path


def files_of(name: str, forms: Sequence[str]) -> dict[str, Path]:
    """Return the exported files, fp32 or int8; make them if there are none."""
    folder = folder_of(name)
    every = {"fp32": folder / "model.onnx", "int8": folder / "model.int8.onnx"}
    files = {form: every[form] for form in forms}
    weights, cfg = weights_of(name), config_of(name)
    missing = [form for form, path in files.items() if not path.is_file()]
    if missing:
        records = scenes.records(FOLDER / "validation", seed=10_000, **_VALIDATION)
        job = ExportJob(
            model=open_model(cfg, weights),
            cfg=cfg,
            class_names=scenes.CLASS_NAMES,
            directory=folder,
            weights=weights,
            images=[record.path for record in records],
            validation=records,
        )
        for form in missing:
            EXPORTERS["onnx" if form == "fp32" else form](job)
    return files


def _train(name: str, path: Path) -> None:
    started = time.monotonic()
    cfg = config_of(name)
    newest: list[bytes] = []
    request = TrainRequest(
        cfg,
        scenes.records(FOLDER / "training", seed=0, **_TRAINING),
        scenes.CLASS_NAMES,
        path.parent / "run",
        val_records=scenes.records(FOLDER / "validation", seed=10_000, **_VALIDATION),
        initial_weights=find_weights(cfg.MODEL.WEIGHTS, [WEIGHTS], allow_download=False),
        on_model=lambda saved: newest.append(saved.weights.read_bytes()),
    )
    summary = train(request)
    path.write_bytes(newest[-1])
    metrics = {} if summary.last is None else summary.last.metrics
    logger.info("%s: %.0f s, %s", name, time.monotonic() - started, metrics)
