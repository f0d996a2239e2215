"""`export`: the way back to detectron2, `model_final.pth` and a `config.yaml` it loads."""

import logging
from collections.abc import Iterator
from pathlib import Path

from app.cli.arguments import Options
from app.cli.settings import FINAL_WEIGHTS, open_config, open_model, require_weights
from app.engine.checkpoint.detectron2_file import detectron2_yaml, save_detectron2
from app.engine.checkpoint.files import read_checkpoint
from app.engine.config import CfgNode
from app.engine.files import write_atomically

logger = logging.getLogger(__name__)

_RESNETS = (
    "build_resnet_backbone",
    "build_resnet_fpn_backbone",
    "build_retinanet_resnet_fpn_backbone",
)


def run(options: Options) -> None:
    """Write both to OUTPUT; only the weights where detectron2's YAML cannot say the model."""
    cfg = open_config(options).clone()
    cfg.defrost()
    wanted_device, cfg.MODEL.DEVICE = cfg.MODEL.DEVICE, "cpu"
    weights = require_weights(cfg, options)
    model = open_model(cfg, weights)
    names = cfg.MODEL.CLASS_NAMES or read_checkpoint(weights).extra.get("class_names") or ()
    output_dir = Path(cfg.OUTPUT_DIR)
    path = output_dir / FINAL_WEIGHTS
    save_detectron2(model, path, iteration=int(cfg.SOLVER.MAX_ITER) - 1, class_names=names)
    logger.info("Saved %s", path)
    obstacles = list(unknown_to_detectron2(cfg))
    if obstacles:
        logger.warning(
            "detectron2 cannot build this model from a YAML file (%s): only the weights are saved",
            "; ".join(obstacles),
        )
        return
    cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE = str(path.resolve()), wanted_device
    write_atomically(output_dir / "config.yaml", detectron2_yaml(cfg))
    logger.info("Saved %s", output_dir / "config.yaml")


def unknown_to_detectron2(cfg: CfgNode) -> Iterator[str]:
    """What makes this model another one in detectron2, or none."""
    model = cfg.MODEL
    if model.META_ARCHITECTURE == "FCOS":
        yield "MODEL.META_ARCHITECTURE FCOS"
    if model.BACKBONE.NAME not in _RESNETS:
        yield f"MODEL.BACKBONE.NAME {model.BACKBONE.NAME}"
    if model.FPN.TOP_BLOCK_IN_FEATURE not in ("", "res5"):
        yield f"MODEL.FPN.TOP_BLOCK_IN_FEATURE {model.FPN.TOP_BLOCK_IN_FEATURE}"
    if model.META_ARCHITECTURE == "RetinaNet" and model.RETINANET.CONV_DIM:
        yield f"MODEL.RETINANET.CONV_DIM {model.RETINANET.CONV_DIM}"
