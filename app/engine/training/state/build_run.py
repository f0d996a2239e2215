"""Builds a run at its start, or restores it from its newest checkpoint."""

import secrets

import torch

from app.engine.checkpoint.load import load_weights
from app.engine.cpu.prepare import prepare_for_training
from app.engine.data.datasets.filters import count_images
from app.engine.data.loading.damaged import DamagedImages
from app.engine.modeling.build import build_detector
from app.engine.modeling.detector import Detector
from app.engine.modeling.meta_arch.generalized_rcnn import GeneralizedRCNN
from app.engine.solver import build_optimizer, build_schedule
from app.engine.training.process.ranks import Ranks
from app.engine.training.process.rng import seed_all
from app.engine.training.request import TrainRequest
from app.engine.training.state.build_plan import build_plan
from app.engine.training.state.checkpoints import Checkpoints
from app.engine.training.state.divergence import LossHistory
from app.engine.training.state.resume import take_up
from app.engine.training.state.run import Run
from app.engine.training.update.ema import Ema
from app.engine.training.update.step import Stepper


def build_run(
    request: TrainRequest,
    ranks: Ranks,
    *,
    checkpoints: Checkpoints,
    losses: LossHistory,
    dtype: torch.dtype | None,
) -> Run:
    """Return the run of `request`, restored from its newest checkpoint if `request.resume`.

    losses  history to which the run adds its losses
    dtype   number format of mixed precision; None: float32
    """
    cfg = request.cfg
    state = checkpoints.load() if request.resume else None
    seed = cfg.SEED if cfg.SEED >= 0 else ranks.broadcast(secrets.randbelow(2**31))
    seed_all(seed)
    model = _build_model(request, dtype, from_scratch=state is None)
    optimizer = build_optimizer(cfg, model)
    network = ranks.wrap(model, compress=cfg.SOLVER.DDP_FP16_COMPRESSION)
    ema = cfg.SOLVER.EMA
    schedule = build_schedule(cfg, optimizer)
    run = Run(
        model,
        schedule=schedule,
        plan=build_plan(request, schedule, ranks),
        ema=Ema(model, decay=ema.DECAY) if ema.ENABLED else None,
        stepper=Stepper(
            network,
            optimizer,
            device=ranks.device,
            dtype=dtype,
            accumulate=cfg.SOLVER.ACCUMULATE,
            halve=ranks.world_size == 1,
        ),
        seed=seed,
        ims_per_batch=int(cfg.SOLVER.IMS_PER_BATCH),
        losses=losses,
        damaged=DamagedImages(len(request.train_records)),
    )
    seed_all(seed + ranks.rank)
    if state is not None:
        checkpoints.restore(run, state)
        take_up(run, state, checkpoints.settings, request)
    return run


def _build_model(
    request: TrainRequest, dtype: torch.dtype | None, *, from_scratch: bool
) -> Detector:
    cfg = request.cfg
    model = build_detector(cfg)
    if from_scratch and request.initial_weights is not None:
        load_weights(
            model,
            request.initial_weights,
            class_names=request.class_names,
            file_class_names=request.initial_class_names,
        )
    if isinstance(model, GeneralizedRCNN):
        # This comes after the weights because a file holds the counts of other images.
        counts = count_images(request.train_records, len(request.class_names))
        model.set_image_counts(torch.from_numpy(counts))
    prepare_for_training(model, by_tiles=cfg.SOLVER.WINOGRAD)
    return model
