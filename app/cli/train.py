"""`train`: the work of detectron2's tools/train_net.py, with the same names of output files."""

import logging
import shutil
from functools import partial
from pathlib import Path

from app.cli.arguments import Options
from app.cli.data_sets import test_sets, training_set
from app.cli.evaluate import evaluate_set
from app.cli.names import taught_by
from app.cli.settings import FINAL_WEIGHTS, initial_weights, is_on_gpu, open_config, open_model
from app.engine.checkpoint.saved_model import CONFIG_FILE, SavedModel
from app.engine.config import CfgNode, load_config, portable
from app.engine.data.datasets.dataset import Dataset
from app.engine.data.datasets.filters import count_classes
from app.engine.data.images.depth_of_set import with_depth
from app.engine.data.smells.overlap import sniff_overlap
from app.engine.data.transforms.keypoints import without_false_flips
from app.engine.errors import ConfigError
from app.engine.evaluation.keypoint_sigmas import tell_sigmas
from app.engine.evaluation.tables import per_class_table
from app.engine.training.request import TrainRequest
from app.engine.training.train import train
from common.files import write_atomically

logger = logging.getLogger(__name__)

_FILE_NAMES = {"last": FINAL_WEIGHTS, "best": "model_best.pth"}


def run(options: Options) -> None:
    """Train; the first of DATASETS.TEST validates the run, the others are evaluated at its end."""
    cfg = open_config(options)
    output_dir = Path(cfg.OUTPUT_DIR)
    cfg, train_set = taught_by(cfg, options, training_set(cfg, options))
    cfg = without_false_flips(cfg)
    tell_sigmas(cfg)
    validation = test_sets(cfg, options)
    if train_set.class_names:
        _tell_objects(train_set)
    cfg = with_depth(cfg, (record.path for record in train_set.records))
    write_atomically(output_dir / CONFIG_FILE, portable(cfg).dump())
    first, *others = validation or [""]
    val_set = validation.get(first)
    if val_set is not None:
        sniff_overlap(train_set.records, val_set.records, cfg.DATASETS.ACCEPTED_SMELLS)

    def keep(saved: SavedModel) -> None:
        with saved.weights.open("rb") as weights:
            copy = partial(shutil.copyfileobj, weights)
            write_atomically(output_dir / _FILE_NAMES[saved.name], copy)
        if saved.name == "last":
            # With this config the folder is a complete model.
            final = portable(_as_used(cfg, saved), weights=FINAL_WEIGHTS)
            write_atomically(output_dir / CONFIG_FILE, final.dump())

    request = TrainRequest(
        cfg,
        train_set.records,
        _class_names(train_set),
        output_dir,
        val_records=[] if val_set is None else val_set.records,
        val_dataset=val_set,
        tensorboard_dir=output_dir,
        initial_weights=initial_weights(cfg, options),
        resume=options.resume,
        devices=_devices(cfg, options.num_gpus),
        on_model=keep,
    )
    summary = train(request)
    if others:
        model = open_model(cfg, output_dir / FINAL_WEIGHTS)
        for name in others:
            evaluate_set(model, cfg, name, validation)
    summary.require_evaluation()


def _as_used(cfg: CfgNode, saved: SavedModel) -> CfgNode:
    """Return the config with the rates and the seed that the training really used."""
    stored = load_config(saved.config)
    return cfg.with_values({"SOLVER": stored.SOLVER, "SEED": stored.SEED})


def _tell_objects(dataset: Dataset) -> None:
    counts = count_classes(dataset.records, len(dataset.class_names)).tolist()
    rows = dict(zip(dataset.class_names, counts, strict=True)) | {"total": sum(counts)}
    logger.info(
        "Distribution of instances among all %d categories:\n%s",
        len(counts),
        per_class_table(rows, column="#instances"),
    )


def _class_names(dataset: Dataset) -> list[str]:
    """Return the names of object classes, or those of the label map if there are none."""
    return dataset.class_names or dataset.stuff_names


def _devices(cfg: CfgNode, num_gpus: int) -> list[str]:
    device = str(cfg.MODEL.DEVICE)
    if not is_on_gpu(cfg):
        if device != "cpu":
            raise ConfigError(f"MODEL.DEVICE is {device}; models are trained on cpu or cuda")
        return ["cpu"]
    _, _, number = device.partition(":")
    if num_gpus < 1 or (number and num_gpus > 1):
        raise ConfigError(f"--num-gpus {num_gpus} does not fit MODEL.DEVICE {device}; correct one")
    return [f"cuda:{index}" for index in ([int(number)] if number else range(num_gpus))]
