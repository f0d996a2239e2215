"""`export`: MODEL.WEIGHTS for other programs, in the formats that `--format` names."""

import logging
from pathlib import Path

from app.cli.arguments import Options
from app.cli.data_sets import test_sets
from app.cli.names import with_known_names
from app.cli.settings import open_config, open_model, require_weights
from app.engine.config import CfgNode
from app.engine.config.exportable import export_faults
from app.engine.config.faults import refuse
from app.engine.data.datasets.dataset import Dataset
from app.engine.data.images.finding import find_images
from app.engine.errors import ConfigError
from app.engine.export import EXPORTERS, ExportJob, spread

logger = logging.getLogger(__name__)

NUM_IMAGES = 64
"""Maximum number of images on which files are compared and calibrated."""


def run(options: Options) -> None:
    """Write every format into OUTPUT."""
    cfg = open_config(options).clone()
    cfg.defrost()
    wanted_device, cfg.MODEL.DEVICE = cfg.MODEL.DEVICE, "cpu"
    unknown = [name for name in options.formats if name not in EXPORTERS]
    if unknown:
        raise ConfigError(f"--format {unknown[0]} is unknown; choose from {', '.join(EXPORTERS)}")
    refuse(export_faults(dict(cfg.leaves()), options.formats))
    if (options.input_size or options.opset) and "onnx-raw" not in options.formats:
        raise ConfigError("--input-size and --opset are for --format onnx-raw, which is not asked")
    weights = require_weights(cfg, options)
    model = open_model(cfg, weights)
    cfg.MODEL.DEVICE = wanted_device
    cfg = with_known_names(cfg, weights)
    validation = _validation(cfg, options)
    job = ExportJob(
        model=model,
        cfg=cfg,
        class_names=[str(name) for name in cfg.MODEL.CLASS_NAMES],
        directory=Path(cfg.OUTPUT_DIR),
        weights=weights,
        images=_images(options, validation),
        validation=[] if validation is None else validation.records,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        input_size=options.input_size,
        opset=options.opset,
    )
    for name in options.formats:
        EXPORTERS[name](job)


def _validation(cfg: CfgNode, options: Options) -> Dataset | None:
    """Load the first of DATASETS.TEST if the command line gives its folder."""
    if not (options.data or options.coco) or not cfg.DATASETS.TEST:
        return None
    return next(iter(test_sets(cfg, options).values()))


def _images(options: Options, validation: Dataset | None) -> list[Path]:
    if options.inputs:
        return spread(list(find_images(options.inputs, option="--input")), NUM_IMAGES)
    if validation is None:
        return []
    return spread([record.path for record in validation.records], NUM_IMAGES)
