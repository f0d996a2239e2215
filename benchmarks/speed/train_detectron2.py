"""detectron2's training step on a batch as its own `DatasetMapper` makes it."""

from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.speed.anchor_detectron2 import build_model
from benchmarks.speed.engines import Workload
from benchmarks.speed.train_batch import LabelledImage
from benchmarks.speed.train_engines import LEARNING_RATE, TrainStep


def load(workload: Workload, precision: str, batch: Sequence[LabelledImage]) -> TrainStep:
    """Return a function that does a step on a fixed batch."""
    model, cfg = build_model(workload, precision)
    from detectron2.solver import build_optimizer
    from detectron2.utils.events import EventStorage

    cfg.SOLVER.BASE_LR = LEARNING_RATE
    model.train()
    optimizer = build_optimizer(cfg, model)
    seeds = iter(range(10**9))

    def step() -> dict[str, float]:
        data = [_input(image, masks=cfg.MODEL.MASK_ON) for image in batch]
        seed = next(seeds)
        torch.manual_seed(seed)
        with EventStorage(seed):
            losses: Any = model(data)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    return step


def _input(image: LabelledImage, *, masks: bool) -> dict[str, Any]:
    from detectron2.structures import Boxes, Instances, PolygonMasks

    height, width = image.pixels.shape[:2]
    instances = Instances((height, width))
    instances.gt_boxes = Boxes(torch.from_numpy(image.boxes))
    instances.gt_classes = torch.from_numpy(image.classes)
    if masks:
        instances.gt_masks = PolygonMasks([[ring] for ring in image.polygons])
    pixels = torch.from_numpy(image.pixels.transpose(2, 0, 1).copy())
    return {"image": pixels, "instances": instances, "height": height, "width": width}
