"""The training task: labelled images -> model stages under /out/models."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from functools import partial

from app.engine.checkpoint.saved_model import CONFIG_FILE, SavedModel
from app.engine.config import CfgNode, set_classes
from app.engine.config.tiles import with_tiles
from app.engine.data.formats import Conventions, Decisions
from app.engine.data.images.depth_of_set import with_depth
from app.engine.data.loading.samplers import crops_of_a_pass
from app.engine.data.smells.overlap import sniff_overlap
from app.engine.structures.record import ImageRecord
from app.engine.structures.tiles import TileGrid
from app.engine.training.request import TrainRequest
from app.engine.training.summary import TrainSummary
from app.engine.training.train import train
from app.tasks.args_options import parse_args_options
from app.tasks.config_file import check_model, named_config
from app.tasks.devices import device_ids, device_names, gains_by_mixed_precision
from app.tasks.engine_config import training_config
from app.tasks.model_card import CARD_FILE, ModelCard
from app.tasks.model_forms import add_forms
from app.tasks.records import ParsedSet, read_set, require_objects
from app.tasks.rehearsal import rehearse
from app.tasks.start_weights import find_start
from app.tasks.stop_flag import stop_flag
from app.tasks.workers import limited_workers
from common.progress import Progress, span
from executor.dataset_reader import read_training_index, read_val_index, require_files
from executor.env import Env
from executor.errors import ObjectTypeError, StoppedError
from executor.hyperparameters import (
    INSTANCE_SEGMENTATION,
    TrainHyperparameters,
    load_hyperparameters,
)
from executor.model_stages import ModelStages, Stage
from executor.output_files import place_file, write_atomically
from executor.task_traits import TaskTraits

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 60.0
MAX_STAGES = 2
"""Keep the best and the last model: a platform packs every stage, which costs time and disk."""

TRAITS = TaskTraits(
    settings=TrainHyperparameters, result_file="models/result.yaml", runs_alone=True
)


def run(env: Env, progress: Progress) -> None:
    """Train on the training index, validate on the val index, and save models as stages."""
    started = time.monotonic()
    hp = load_hyperparameters(env.input.config_file, TrainHyperparameters)
    options = parse_args_options(hp.args_options)
    devices = device_names(device_ids(hp))
    # Errors of the model are reported before data is read, which may take long.
    planned = named_config(hp, options)
    set_classes(planned, hp.class_names)
    check_model(planned, hp.object_type)
    model = rehearse(planned)
    output_dir = env.output.root_dir / "training"
    start = find_start(env, hp, planned, options, model, checkpoints=output_dir / "checkpoints")
    progress(0.01)
    training, validation = _read_sets(env, hp)
    train_records, val_records = training.records, validation.records
    cfg = training_config(
        hp,
        options,
        device=devices[0],
        num_images=_images_of_a_pass(
            with_tiles(planned, hp.tile_size, hp.tile_overlap), train_records
        ),
        weights=start.setting,
        gains_by_mixed_precision=gains_by_mixed_precision(devices[0]),
    )
    check_annotations(cfg, train_records)
    cfg = with_depth(cfg, (record.path for record in train_records))
    progress(0.02)
    card = ModelCard(
        cfg=cfg,
        config_file=hp.config_file,
        class_names=hp.class_names,
        start=start.setting,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        training=training,
        validation=validation,
    )
    stages = _stages(env, hp)
    num_workers = limited_workers(hp.num_workers, processes=len(devices))
    with stop_flag() as should_stop:
        request = TrainRequest(
            cfg,
            train_records,
            list(hp.class_names),
            output_dir,
            val_records=val_records,
            tensorboard_dir=env.output.tensorboard_dir,
            initial_weights=start.path,
            initial_class_names=start.class_names,
            resume=True,
            devices=devices,
            num_workers=num_workers,
            checkpoint_seconds=CHECKPOINT_SECONDS,
            started=started,
            progress=span(progress, 0.02, 0.97 if hp.export_forms else 1.0),
            on_model=_stage_writer(stages, hp.object_type, card.text),
            should_stop=should_stop,
        )
        summary = train(request)
    _require_end(summary)
    add_forms(
        stages,
        hp.export_forms,
        train_records=train_records,
        val_records=val_records,
        num_workers=num_workers,
        progress=span(progress, 0.97, 1.0),
    )
    summary.require_evaluation()
    best = stages.best
    assert best is not None
    logger.info(
        "training: finished after %d iterations; best model: %s, %s",
        summary.iteration,
        best.name,
        _how_good(best, summary, num_images=len(val_records)),
    )
    progress(1.0)


def _images_of_a_pass(cfg: CfgNode, records: list[ImageRecord]) -> int:
    """Return how many images a pass over the records has, crops of large photographs among them."""
    crops, grid = crops_of_a_pass(cfg, records), TileGrid.from_config(cfg)
    if grid is not None:
        logger.info(
            "tiles: %d of %d training images have a side above %d px; a pass has %d crops and "
            "images",
            sum(grid.cuts(record.size) for record in records),
            len(records),
            grid.side,
            len(crops),
        )
    return len(crops)


def _how_good(best: Stage, summary: TrainSummary, *, num_images: int) -> str:
    """Describe the best stage's mAP and the number of its images, or why there is none."""
    if not num_images:
        return "not validated"
    if not best.is_evaluated:
        reason = "" if summary.failure is None else f" ({summary.failure.reason})"
        return f"not evaluated{reason}"
    if not best.metrics.get("tp", 0) + best.metrics.get("fn", 0):
        return "mAP not defined, since the validation images have no objects"
    remark = ""
    if 0 < summary.num_validated < num_images:
        remark = f" over {summary.num_validated} of {num_images} validation images"
    if not summary.num_validated and summary.failure is not None:
        remark = f" (the final model: not evaluated, {summary.failure.reason})"
    return f"mAP {best.metrics['mAP']:.4f}{remark}"


def check_annotations(cfg: CfgNode, records: list[ImageRecord]) -> None:
    """Raise ObjectTypeError unless the annotations have the kind of objects of the model."""
    if cfg.MODEL.MASK_ON and not any(record.segmentations for record in records):
        raise ObjectTypeError(
            "config_file: this model learns masks but the annotations hold boxes only; choose one "
            "of configs/COCO-Detection, or set export_format to seg-coco:raw"
        )


def _read_sets(env: Env, hp: TrainHyperparameters) -> tuple[ParsedSet, ParsedSet]:
    """Read the training and the validation set."""
    read = partial(
        read_set,
        export_format=hp.export_format,
        class_names=hp.class_names,
        conventions=Conventions(hp.annotated_frame, hp.box_corners),
        decisions=Decisions(),  # the decisions of the training set, read first, apply to both
        accepted_smells=hp.smells,
    )
    train_assets = read_training_index(env.input.training_index_file)
    require_files(env.input.training_index_file, train_assets)
    training = read(train_assets, name="training")
    require_objects(training.records, hp.class_names)
    val_assets = read_val_index(env.input.val_index_file)
    require_files(env.input.val_index_file, val_assets)
    validation = read(val_assets, name="validation")
    sniff_overlap(training.records, validation.records, hp.smells)
    return training, validation


def _stages(env: Env, hp: TrainHyperparameters) -> ModelStages:
    """Open the stages of result.yaml, including those of an earlier run."""
    stages = ModelStages.resume(
        env.output,
        dialect=env.dialect,
        object_type=hp.object_type,
        file_patterns=hp.ymir_saved_file_patterns,
        max_stages=MAX_STAGES,
    )
    if stages.leaves_out(CONFIG_FILE):
        logger.warning(
            "ymir_saved_file_patterns leaves out %s, without which no task can use the model; add "
            r"\.yaml$ to the patterns",
            CONFIG_FILE,
        )
    return stages


def _stage_writer(
    stages: ModelStages,
    object_type: int,
    card: Callable[[SavedModel, Mapping[str, float | int]], str],
) -> Callable[[SavedModel], None]:
    """Return a function that publishes a saved model as a stage of result.yaml.

    card  returns the text of the model's card, given the metrics of its stage
    """

    def publish(saved: SavedModel) -> None:
        name = f"iter_{saved.iteration:07d}"
        if not saved.metrics and any(stage.name == name for stage in stages.stages):
            return  # an earlier run, which was killed, has evaluated the same model
        metrics = stage_metrics(saved.metrics, object_type)
        folder = stages.folder(name)
        files = [folder / saved.weights.name, folder / saved.config.name, folder / CARD_FILE]
        place_file(saved.weights, files[0])
        place_file(saved.config, files[1])
        write_atomically(files[2], card(saved, metrics))
        stages.add(name, files, mAP=metrics.pop("mAP"), timestamp=None, **metrics)

    return publish


def stage_metrics(metrics: Mapping[str, float], object_type: int) -> dict[str, float | int]:
    """Convert an evaluation (0..100) to the platform's metrics (rates in [0, 1]).

    mAP, which decides the best stage, is AP at IoU 0.5 for the task's kind of object.
    """
    asked_for = "segm/AP50" if object_type == INSTANCE_SEGMENTATION else "bbox/AP50"
    found: dict[str, float | int] = {"mAP": _rate(metrics.get(asked_for, 0.0))}
    rates = {"mAR": "bbox/AR", "maskAP": "segm/AP50", "boxAP": "bbox/AP50"}
    wanted = rates if "segm/AP50" in metrics else {"mAR": "bbox/AR"}
    found.update({name: _rate(metrics[key]) for name, key in wanted.items() if key in metrics})
    counts = ("tp", "fp", "fn")
    found.update({name: int(metrics[name]) for name in counts if name in metrics})
    return found


def _rate(percent: float) -> float:
    return percent / 100 if math.isfinite(percent) else 0.0


def _require_end(summary: TrainSummary) -> None:
    """Raise StoppedError if the run was asked to stop."""
    if summary.stopped:
        raise StoppedError(
            f"training: stopped after iteration {summary.iteration} as asked; its checkpoint is "
            "saved, start the run again with the same /out to go on"
        )
