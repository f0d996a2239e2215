"""`evaluate`: tables, copypaste lines and results files of MODEL.WEIGHTS on DATASETS.TEST."""

import logging
from collections.abc import Mapping
from pathlib import Path

from app.cli.arguments import Options
from app.cli.data_sets import for_one, require_test_sets
from app.cli.names import with_known_names
from app.cli.settings import open_config, open_model, require_weights
from app.engine.config import CfgNode
from app.engine.data.datasets.dataset import Dataset
from app.engine.evaluation.evaluate import evaluate
from app.engine.evaluation.keypoint_sigmas import tell_sigmas
from app.engine.modeling.detector import Detector

logger = logging.getLogger(__name__)


def run(options: Options) -> None:
    """Evaluate every data set; EngineError if TEST.EXPECTED_RESULTS are not met."""
    cfg = open_config(options)
    weights = require_weights(cfg, options)
    cfg = with_known_names(cfg, weights)
    datasets = require_test_sets(cfg, options)
    tell_sigmas(cfg)
    model = open_model(cfg, weights)
    for name in datasets:
        evaluate_set(model, cfg, name, datasets)


def evaluate_set(model: Detector, cfg: CfgNode, name: str, datasets: Mapping[str, Dataset]) -> None:
    """Evaluate one data set; its files go to OUTPUT_DIR/inference or its subfolder there."""
    dataset = datasets[name]
    directory = Path(cfg.OUTPUT_DIR) / "inference"
    logger.info("Evaluating on %s", name)
    evaluate(
        model,
        for_one(cfg, name),
        dataset.records,
        dataset.class_names,
        dataset=dataset,
        results_dir=directory if len(datasets) == 1 else directory / name,
    )
