"""From a config and labelled images to a trained model, on one device or several."""

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from app.engine.checkpoint.saved_model import SavedModel
from app.engine.config import CfgNode
from app.engine.data.datasets.dataset import Dataset
from app.engine.errors import ConfigError, OutOfMemoryError, RankError, is_out_of_memory
from app.engine.solver import auto_scale
from app.engine.structures.sample import ImageRecord
from app.engine.training.loop.trainer import train_rank
from app.engine.training.process.launch import launch
from app.engine.training.request import Callbacks, Job
from app.engine.training.summary import TrainSummary
from common.files import remove_remains
from common.progress import Progress
from common.text import first_line

logger = logging.getLogger(__name__)

_MAX_RESTARTS = 4  # as often as a batch can be halved, from 16 images on


def train(
    cfg: CfgNode,
    train_records: Sequence[ImageRecord],
    val_records: Sequence[ImageRecord],
    class_names: Sequence[str],
    *,
    output_dir: Path | None = None,
    tensorboard_dir: Path | None,
    progress: Progress,
    on_model: Callable[[SavedModel], None],
    should_stop: Callable[[], bool],
    resume: bool,
    device_ids: Sequence[int],
    initial_weights: Path | None,
    initial_class_names: Sequence[str] | None = None,
    num_workers: int | None = None,
    checkpoint_seconds: float = 300.0,
    score_thresh: float = 0.2,
    val_dataset: Dataset | None = None,
    num_cpu_processes: int = 1,
    timeout_s: float = 300.0,
) -> TrainSummary:
    """Train a detector.

    output_dir           of checkpoints, metrics.json and models; None: OUTPUT_DIR
    progress             share of the run that is done, rising from 0 to 1
    on_model             called with each new best model, and with the last one
    should_stop          polled after every iteration; True saves a checkpoint (and a model, where
                         no evaluation has found a best one yet) and ends the run
    resume               go on from the checkpoint in `output_dir` if there is one
    device_ids           GPUs, together; none: the CPU
    initial_weights      file to start from; None: from scratch
    initial_class_names  its classes, where the file does not say them; rows are matched by name
    num_workers          of the data loader; None: DATALOADER.NUM_WORKERS
    checkpoint_seconds   longest time between two checkpoints
    score_thresh         where evaluations count hits, false alarms and misses
    val_dataset          whose rules evaluations follow; None: COCO's
    timeout_s            a process that lets the others wait longer ends the run
    """
    devices = _devices(device_ids, num_cpu_processes)
    cfg = auto_scale(cfg, len(devices))
    _check_batch(cfg, len(devices))
    job = Job(
        cfg=cfg,
        train_records=train_records,
        val_records=val_records,
        class_names=class_names,
        output_dir=Path(cfg.OUTPUT_DIR) if output_dir is None else output_dir,
        tensorboard_dir=tensorboard_dir,
        callbacks=Callbacks(progress, on_model, should_stop),
        resume=resume,
        seed=cfg.SEED if cfg.SEED >= 0 else secrets.randbelow(2**31),
        initial_weights=initial_weights,
        initial_class_names=initial_class_names,
        num_workers=num_workers,
        checkpoint_seconds=checkpoint_seconds,
        score_thresh=score_thresh,
        val_dataset=val_dataset,
    )
    remove_remains(job.output_dir)
    return _train_with_restarts(job, devices, timeout_s)


def _train_with_restarts(
    job: Job, devices: Sequence[torch.device], timeout_s: float
) -> TrainSummary:
    """Train; several processes start again from their checkpoint when one of them is lost.

    When one of them lacks memory they do so with smaller parts of a batch: one process alone does
    that without starting again, but here all must do the same.
    """
    silent = Callbacks(_ignore, _ignore, _never)
    for restarts_left in reversed(range(_MAX_RESTARTS + 1)):
        try:
            others_job = replace(job, callbacks=silent)
            return launch(
                train_rank, job, others_job=others_job, devices=devices, timeout_s=timeout_s
            )
        except RankError as error:
            if not restarts_left:
                raise
            logger.warning("%s: starting again from the last checkpoint", error)
            job = replace(job, resume=True)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            parts = 2 * int(job.cfg.SOLVER.ACCUMULATE)
            too_many = parts > job.cfg.SOLVER.IMS_PER_BATCH // len(devices)
            if len(devices) == 1 or too_many or not restarts_left:
                raise _out_of_memory(error) from error
            logger.warning("Out of memory: starting again with SOLVER.ACCUMULATE %d", parts)
            job = replace(job, cfg=_accumulating(job.cfg, parts), resume=True)
        # Outside the handlers, whose tracebacks hold on to tensors.
        torch.cuda.empty_cache()
    raise AssertionError("the last round returns or raises")


def _out_of_memory(error: Exception) -> OutOfMemoryError:
    if isinstance(error, OutOfMemoryError):
        return error
    return OutOfMemoryError(
        f"memory is too small ({first_line(error)}); lower SOLVER.IMS_PER_BATCH, "
        "INPUT.MIN_SIZE_TRAIN or DATALOADER.NUM_WORKERS, or free the device of other programs"
    )


def _accumulating(cfg: CfgNode, parts: int) -> CfgNode:
    smaller = cfg.clone()
    smaller.defrost()
    smaller.SOLVER.ACCUMULATE = parts
    smaller.freeze()
    return smaller


def _devices(device_ids: Sequence[int], num_cpu_processes: int) -> list[torch.device]:
    if not device_ids:
        return [torch.device("cpu")] * num_cpu_processes
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    missing = [index for index in device_ids if index >= available]
    if missing:
        raise ConfigError(
            f"GPU {missing[0]} was asked for but {available} can be used; "
            "give the container its GPUs, or ask for none to train on the CPU"
        )
    return [torch.device("cuda", index) for index in device_ids]


def _check_batch(cfg: CfgNode, world_size: int) -> None:
    images = cfg.SOLVER.IMS_PER_BATCH
    if images % world_size or images < world_size:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH {images} cannot be shared evenly by {world_size} GPUs; "
            f"use a multiple of {world_size}"
        )


def _ignore(_: object) -> None:
    """What the other processes report to."""


def _never() -> bool:
    return False
