"""Trains a model from a config and labelled images, on one device or several."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import torch

from app.engine.config import CfgNode
from app.engine.errors import ConfigError, OutOfMemoryError, RankError, is_out_of_memory
from app.engine.solver import auto_scale
from app.engine.training.loop.trainer import train_together
from app.engine.training.process.launch import launch
from app.engine.training.request import TrainRequest
from app.engine.training.summary import TrainSummary
from common.files import remove_remains
from common.text import first_line

logger = logging.getLogger(__name__)

_MAX_RESTARTS = 4  # a batch of 16 images can be halved 4 times


def train(request: TrainRequest) -> TrainSummary:
    """Train a detector; several devices train it together, with a process for each."""
    devices = [torch.device(name) for name in request.devices]
    _check_devices(devices)
    cfg = auto_scale(request.cfg, len(devices))
    _check_batch(cfg, len(devices))
    remove_remains(request.output_dir)
    started = request.clock() if request.started is None else request.started
    return _train_with_restarts(replace(request, cfg=cfg, started=started), devices)


def _train_with_restarts(request: TrainRequest, devices: Sequence[torch.device]) -> TrainSummary:
    """Train; several processes start again from their checkpoint when one of them is lost.

    When one of them runs out of memory, they start again with smaller parts of a batch. A single
    process reduces the parts without a restart, but several must all do the same.
    """
    for restarts_left in reversed(range(_MAX_RESTARTS + 1)):
        try:
            others = request.without_callbacks()
            return launch(train_together, request, others_argument=others, devices=devices)
        except RankError as error:
            if not restarts_left:
                raise
            logger.warning("%s: starting again from the last checkpoint", error)
            request = replace(request, resume=True)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            parts = 2 * int(request.cfg.SOLVER.ACCUMULATE)
            too_many = parts > request.cfg.SOLVER.IMS_PER_BATCH // len(devices)
            if len(devices) == 1 or too_many or not restarts_left:
                raise _out_of_memory(error) from error
            logger.warning("Out of memory: starting again with SOLVER.ACCUMULATE %d", parts)
            cfg = request.cfg.with_values({"SOLVER.ACCUMULATE": parts})
            request = replace(request, cfg=cfg, resume=True)
        # This stands outside the handlers because their tracebacks keep tensors alive.
        torch.cuda.empty_cache()
    raise AssertionError("the last round returns or raises")


def _out_of_memory(error: Exception) -> OutOfMemoryError:
    if isinstance(error, OutOfMemoryError):
        return error
    return OutOfMemoryError(
        f"memory is too small ({first_line(error)}); lower SOLVER.IMS_PER_BATCH, "
        "INPUT.MIN_SIZE_TRAIN or DATALOADER.NUM_WORKERS, or free the device of other programs"
    )


def _check_devices(devices: Sequence[torch.device]) -> None:
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    missing = [d.index for d in devices if d.type == "cuda" and d.index >= available]
    if missing:
        raise ConfigError(
            f"GPU {missing[0]} was asked for but {available} can be used; "
            "give the container its GPUs, or ask for none to train on the CPU"
        )


def _check_batch(cfg: CfgNode, world_size: int) -> None:
    images = cfg.SOLVER.IMS_PER_BATCH
    if images % world_size or images < world_size:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH {images} cannot be shared evenly by {world_size} GPUs; "
            f"use a multiple of {world_size}"
        )
