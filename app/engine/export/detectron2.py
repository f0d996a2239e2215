"""Exports for detectron2: `model_final.pth`, and a `config.yaml` that detectron2 loads."""

import logging
from collections.abc import Iterator
from pathlib import Path

from app.engine.checkpoint.detectron2_file import detectron2_yaml, save_detectron2
from app.engine.config import CfgNode, portable
from app.engine.config.defaults import DETECTRON2, OWN
from app.engine.config.traits import Form
from app.engine.data.images.depth import Depth
from app.engine.export._job import ExportJob
from common.files import write_atomically

logger = logging.getLogger(__name__)

TRAITS = Form()

FILE_NAME = "model_final.pth"

_ARCHITECTURES = (
    "GeneralizedRCNN",
    "PanopticFPN",
    "ProposalNetwork",
    "RetinaNet",
    "SemanticSegmentor",
)
_OWN_KEYS = {
    "RETINANET": ("CONV_DIM", "CLIP_BEFORE_NMS"),
    "RPN": ("SCORE_THRESH",),
    "RESNETS": ("NORM_EPS",),
}
"""Keys that detectron2 lacks; with their defaults a model is one of detectron2's."""
_RESNETS = (
    "build_resnet_backbone",
    "build_resnet_fpn_backbone",
    "build_retinanet_resnet_fpn_backbone",
)


def export(job: ExportJob) -> list[Path]:
    """Write both files; only the weights if detectron2's YAML cannot describe the model."""
    path = job.directory / FILE_NAME
    iteration = int(job.cfg.SOLVER.MAX_ITER) - 1
    save_detectron2(
        job.model,
        path,
        iteration=iteration,
        class_names=job.class_names,
        category_ids=job.cfg.MODEL.CATEGORY_IDS,
    )
    logger.info("Saved %s", path)
    depth = Depth.from_config(job.cfg)
    if depth != Depth():
        logger.warning(
            "detectron2 does not know INPUT.BITS_PER_SAMPLE %d and INPUT.FLOAT_WHITE %g: give it "
            "images that are converted to 8 bits in this way",
            depth.bits,
            depth.float_white,
        )
    obstacles = list(unknown_to_detectron2(job.cfg))
    if obstacles:
        logger.warning(
            "detectron2 cannot build this model from a YAML file (%s): only the weights are saved",
            "; ".join(obstacles),
        )
        return [path]
    cfg = portable(job.cfg, weights=FILE_NAME)
    cfg.OUTPUT_DIR = DETECTRON2["OUTPUT_DIR"]  # detectron2 does not accept an empty one
    config_file = job.directory / "config.yaml"
    write_atomically(config_file, detectron2_yaml(cfg))
    logger.info("Saved %s", config_file)
    return [path, config_file]


def unknown_to_detectron2(cfg: CfgNode) -> Iterator[str]:
    """Yield the settings for which detectron2 would build a different model or none."""
    model = cfg.MODEL
    if model.META_ARCHITECTURE not in _ARCHITECTURES:
        yield f"MODEL.META_ARCHITECTURE {model.META_ARCHITECTURE}"
    if model.BACKBONE.NAME not in _RESNETS:
        yield f"MODEL.BACKBONE.NAME {model.BACKBONE.NAME}"
    if model.FPN.TOP_BLOCK_IN_FEATURE not in ("", "res5"):
        yield f"MODEL.FPN.TOP_BLOCK_IN_FEATURE {model.FPN.TOP_BLOCK_IN_FEATURE}"
    for section, keys in _OWN_KEYS.items():
        for key in keys:
            value = model[section][key]
            if value != OWN["MODEL"][section][key]:
                yield f"MODEL.{section}.{key} {value}"
    if model.ANCHOR_GENERATOR.NAME != "DefaultAnchorGenerator":
        yield f"MODEL.ANCHOR_GENERATOR.NAME {model.ANCHOR_GENERATOR.NAME}"
