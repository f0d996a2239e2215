"""Hyper-parameters of config.yaml -> the engine's frozen config.

Only this file knows the names of both sides. Nothing here reads data or uses a device; automatic
choices are logged with their reasons.
"""

import logging
import math

from app.engine.config import CfgNode, set_classes
from app.engine.config.image_size import set_image_size
from app.engine.config.tiles import with_tiles
from app.engine.solver.schedule import rescale_schedule
from app.tasks.args_options import EngineOptions
from app.tasks.config_file import learning_rate_for, named_config
from executor.hyperparameters import INSTANCE_SEGMENTATION, TrainHyperparameters

logger = logging.getLogger(__name__)

NUM_EVALUATIONS = 10
UNLIMITED = 100_000_000
"""Iterations of a training that only `max_minutes` ends."""

EPOCHS_FOR_MY_DATA = 36
MIN_ITERATIONS = 1000
MAX_EPOCHS = 300


def training_config(
    hp: TrainHyperparameters,
    options: EngineOptions,
    *,
    device: str,
    num_images: int,
    weights: str | None = None,
    gains_by_mixed_precision: bool = False,
) -> CfgNode:
    """Return the frozen config of a training of `num_images` images on `device` (cpu, cuda:0, ...).

    `weights` replaces MODEL.WEIGHTS; `gains_by_mixed_precision` decides what `amp: auto` means.
    Raises ConfigError for a config file or key that is wrong.
    """
    cfg = named_config(hp, options)
    set_classes(cfg, hp.class_names)
    cfg.MODEL.DEVICE = device
    if weights is not None:
        cfg.MODEL.WEIGHTS = weights
    _set_schedule(cfg, hp, options, num_images)
    set_image_size(cfg, hp.image_size)
    cfg.DATALOADER.NUM_WORKERS = hp.num_workers
    cfg.SEED = hp.seed
    cfg.SOLVER.EMA.ENABLED = hp.ema
    cfg.TEST.PATIENCE = hp.patience
    if hp.object_type == INSTANCE_SEGMENTATION and "TEST.METRIC" not in options.overrides:
        cfg.TEST.METRIC = "segm/AP50"
    cfg.SOLVER.AMP.ENABLED = hp.amp != "off" and (hp.amp != "auto" or gains_by_mixed_precision)
    cfg.SOLVER.AMP.DTYPE = {"bf16": "bfloat16", "fp16": "float16"}.get(hp.amp, "auto")
    cfg.freeze()
    return with_tiles(cfg, hp.tile_size, hp.tile_overlap)


def _set_schedule(
    cfg: CfgNode, hp: TrainHyperparameters, options: EngineOptions, num_images: int
) -> None:
    """Set length, learning rate, evaluations and checkpoints for steps of `hp.batch_size`."""
    solver = cfg.SOLVER
    # Values that the user sets count the run's iterations, not the config file's.
    as_asked = {
        key: solver[key]
        for key in ("STEPS", "WARMUP_ITERS")
        if f"SOLVER.{key}" in options.overrides[::2]
    }
    max_iter = hp.max_iter or _length(cfg, hp, num_images)
    solver.BASE_LR = hp.learning_rate or _chosen_rate(cfg, hp.batch_size)
    solver.IMS_PER_BATCH = hp.batch_size
    rescale_schedule(cfg, max_iter)
    for key, value in as_asked.items():
        solver[key] = value
    _tell_schedule(cfg, hp)
    solver.MAX_MINUTES = hp.max_minutes
    if hp.max_minutes:
        cfg.TEST.EVAL_PERIOD = hp.eval_period
        cfg.TEST.EVAL_SHARE = 0.0 if hp.eval_period else 1 / NUM_EVALUATIONS
    else:
        cfg.TEST.EVAL_PERIOD = hp.eval_period or max(1, -(-max_iter // NUM_EVALUATIONS))
    solver.CHECKPOINT_PERIOD = hp.checkpoint_period or max_iter


def _length(cfg: CfgNode, hp: TrainHyperparameters, num_images: int) -> int:
    """Return the iterations of `max_iter: 0`; `UNLIMITED` with `max_minutes`, which decides then.

    The warm-up grows in proportion, so that it is the config's again when the length is known.
    """
    if not hp.max_minutes:
        return _iterations_for(cfg, hp.batch_size, num_images)
    solver = cfg.SOLVER
    solver.WARMUP_ITERS = round(solver.WARMUP_ITERS * UNLIMITED / solver.MAX_ITER)
    return UNLIMITED


def _tell_schedule(cfg: CfgNode, hp: TrainHyperparameters) -> None:
    solver = cfg.SOLVER
    length, decay = f"{solver.MAX_ITER} iterations", f"at {list(solver.STEPS)}"
    warm_up = f"{solver.WARMUP_ITERS} iterations"
    if hp.max_minutes:
        most = f"at most {hp.max_iter}" if hp.max_iter else "as many"
        length = f"{most} iterations as fit into {hp.max_minutes:g} minutes"
        shares = [f"{100 * step / solver.MAX_ITER:.0f} %" for step in solver.STEPS]
        decay = f"after {', '.join(shares) or '100 %'} of them"
        warm_up = "fitted to them"
    if solver.LR_SCHEDULER_NAME == "WarmupCosineLR":
        decay = "along a cosine"
    logger.info(
        "schedule: %s, learning rate %g, warm-up %s, decay %s",
        length,
        solver.BASE_LR,
        warm_up,
        decay,
    )


def _iterations_for(cfg: CfgNode, batch_size: int, num_images: int) -> int:
    """Return iterations for as many images as the config plans, within 36 to 300 epochs."""
    planned = cfg.SOLVER.MAX_ITER * cfg.SOLVER.IMS_PER_BATCH
    images = max(min(planned, EPOCHS_FOR_MY_DATA * num_images), MIN_ITERATIONS * batch_size)
    images = min(images, MAX_EPOCHS * num_images)
    iterations: int = max(1, math.ceil(images / batch_size))
    logger.info(
        "max_iter 0: chose %d iterations of %d images, which is %.1f passes over %d images"
        " (the config file plans %d images in all)",
        iterations,
        batch_size,
        iterations * batch_size / num_images,
        num_images,
        planned,
    )
    return iterations


def _chosen_rate(cfg: CfgNode, batch_size: int) -> float:
    solver, rate = cfg.SOLVER, learning_rate_for(cfg, batch_size)
    logger.info(
        "learning_rate 0: chose %g, the config file's %g for %d images scaled to %d (%s)",
        rate,
        solver.BASE_LR,
        solver.IMS_PER_BATCH,
        batch_size,
        solver.OPTIMIZER,
    )
    return rate
