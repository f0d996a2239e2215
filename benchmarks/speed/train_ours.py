"""This engine's training step, as the trainer does it."""

from collections.abc import Sequence

import torch

from app.engine.config import CfgNode
from app.engine.cpu.prepare import PRECISIONS, prepare_for_training
from app.engine.modeling.detector import Detector
from app.engine.solver import build_optimizer
from app.engine.structures.masks import PolygonMasks
from app.engine.structures.sample import Sample
from app.engine.structures.targets import GroundTruth
from app.engine.training.update.step import Stepper
from benchmarks.speed.engine_ours import build_model
from benchmarks.speed.engines import Workload
from benchmarks.speed.train_batch import LabelledImage
from benchmarks.speed.train_engines import LEARNING_RATE, TrainStep


def load(workload: Workload, precision: str, batch: Sequence[LabelledImage]) -> TrainStep:
    """Return a function that does a step on a fixed batch."""
    model, cfg = build_model(workload)
    stepper = build(model, cfg, precision)
    samples = [sample(image, masks=cfg.MODEL.MASK_ON) for image in batch]
    seeds = iter(range(10**9))

    def step() -> dict[str, float]:
        torch.manual_seed(next(seeds))
        return {name: float(loss) for name, loss in stepper(samples).items()}

    return step


def build(model: Detector, cfg: CfgNode, precision: str) -> Stepper:
    """The stepper, built as the trainer builds it."""
    cfg.SOLVER.BASE_LR = LEARNING_RATE
    dtype = PRECISIONS[precision]
    prepare_for_training(model)
    return Stepper(
        model.train(),
        build_optimizer(cfg, model),
        device=model.device,
        dtype=None if dtype == torch.float32 else dtype,
    )


def sample(image: LabelledImage, *, masks: bool) -> Sample:
    """The sample that a loader makes of a labelled image."""
    height, width = image.pixels.shape[:2]
    truth = GroundTruth(
        torch.from_numpy(image.boxes),
        torch.from_numpy(image.classes),
        PolygonMasks([[ring] for ring in image.polygons]) if masks else None,
    )
    return Sample(torch.from_numpy(image.pixels).permute(2, 0, 1), (height, width), truth)
