"""Exports of the best model beside its weights, as `export` of config.yaml requests.

They are extras: a failure is only logged. Only when memory runs out does the task end, because a
new run with more memory and the same /out can then finish it.
"""

import logging
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from app.engine.checkpoint.load import load_weights
from app.engine.checkpoint.saved_model import CONFIG_FILE, WEIGHTS_FILE
from app.engine.config import CfgNode, load_config
from app.engine.errors import CheckpointError, EngineError, is_out_of_memory
from app.engine.export import EXPORTERS, ExportJob, spread
from app.engine.modeling.build import build_detector
from app.engine.modeling.detector import Detector
from app.engine.predictor.onnx_card import FILE_NAMES
from app.engine.structures.record import ImageRecord
from app.tasks.model_card import CARD_FILE, with_forms
from common.files import write_atomically
from common.progress import Progress, span
from common.text import first_line
from executor.errors import ExecutorError, OutOfMemoryError
from executor.model_stages import ModelStages, Stage
from executor.output_files import place_file

logger = logging.getLogger(__name__)

NUM_CALIBRATION_IMAGES = 64

_FOLDER = ".export-"


def add_forms(
    stages: ModelStages,
    forms: Sequence[str],
    *,
    train_records: Sequence[ImageRecord],
    val_records: Sequence[ImageRecord],
    num_workers: int,
    progress: Progress,
) -> None:
    """Add files of these forms to the best stage; stop at the first that cannot be made.

    OutOfMemoryError if memory was too small for it.
    """
    best = stages.best
    if best is None or not forms:
        return
    try:
        stage = stages.folder(best.name)
        for left_over in stage.parent.glob(f"{_FOLDER}*"):  # from an export that was killed
            shutil.rmtree(left_over, ignore_errors=True)
        # The folder is beside the stages, so that good files are linked, not copied.
        with TemporaryDirectory(
            prefix=_FOLDER, dir=stage.parent, ignore_cleanup_errors=True
        ) as folder:
            cfg, model = _load(stage)
            job = ExportJob(
                model=model,
                cfg=cfg,
                class_names=[str(name) for name in cfg.MODEL.CLASS_NAMES],
                directory=Path(folder),
                weights=stage / WEIGHTS_FILE,
                images=spread([record.path for record in train_records], NUM_CALIBRATION_IMAGES),
                validation=val_records,
                num_workers=num_workers,
            )
            for number, form in enumerate(forms):
                told = span(progress, number / len(forms), (number + 1) / len(forms))
                best = _publish(stages, best, EXPORTERS[form](replace(job, progress=told)))
                told(1.0)
    except Exception as error:  # an extra must not fail the training
        _tell_or_raise(error, forms)


def _tell_or_raise(error: Exception, forms: Sequence[str]) -> None:
    if is_out_of_memory(error):
        raise OutOfMemoryError(
            f"export: memory ran out ({first_line(error)}); the model is trained and kept: give "
            "the container more memory, or leave export empty, and start again with the same /out"
        ) from error
    if isinstance(error, EngineError | ExecutorError | OSError):
        logger.warning("export: %s", error)
        return
    logger.warning("export: not all of %s can be made", ", ".join(forms), exc_info=error)


def _load(stage: Path) -> tuple[CfgNode, Detector]:
    """Load the model of a stage on the CPU."""
    cfg = load_config(stage / CONFIG_FILE, ["MODEL.DEVICE", "cpu"])
    model = build_detector(cfg)
    load_weights(model, stage / WEIGHTS_FILE).require_whole()
    return cfg, model.eval()


def _add_to_card(stage: Path) -> None:
    """Write what is known of the exported files of a stage into its model card."""
    from app.engine.predictor.onnx_predictor import OnnxPredictor

    cards = {}
    for name in FILE_NAMES.values():
        if (stage / name).is_file():
            with suppress(CheckpointError):
                cards[name] = OnnxPredictor(stage / name).card
    file = stage / CARD_FILE
    if cards and file.is_file():
        write_atomically(file, with_forms(file.read_text(encoding="utf-8"), cards).encode())


def _publish(stages: ModelStages, stage: Stage, files: Sequence[Path]) -> Stage:
    """Add files to a stage and return the new stage."""
    folder = stages.folder(stage.name)
    for file in files:
        place_file(file, folder / file.name)
    _add_to_card(folder)
    logger.info("export: %s now in %s", ", ".join(file.name for file in files), folder)
    names = dict.fromkeys([*stage.files, *(file.name for file in files)])
    metrics = dict(stage.metrics)
    return stages.add(
        stage.name,
        [folder / name for name in names],
        mAP=metrics.pop("mAP"),
        timestamp=stage.timestamp,
        **metrics,
    )
