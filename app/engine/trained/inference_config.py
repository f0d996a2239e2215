"""The config of a trained model, as it is opened."""

import logging
from pathlib import Path

from app.engine.config import CLASS_SECTIONS, CfgNode, load_model_config
from app.engine.config.image_size import set_image_size
from app.engine.trained.opening import Opening

logger = logging.getLogger(__name__)


def inference_config(model_config: Path, opening: Opening) -> CfgNode:
    """Return the frozen config of a trained model with the values of `opening`."""
    cfg = load_model_config(model_config)
    cfg.MODEL.DEVICE = opening.device
    set_image_size(cfg, opening.image_size)
    if opening.score_threshold is not None:
        for section in CLASS_SECTIONS:
            cfg.MODEL[section].SCORE_THRESH_TEST = float(opening.score_threshold)
    if cfg.TEST.AUG.ENABLED and not opening.views:
        logger.info("TEST.AUG: mining looks at every image once; infer looks at its views")
        cfg.TEST.AUG.ENABLED = False
    cfg.freeze()
    return cfg
