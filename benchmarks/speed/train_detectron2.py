"""detectron2's training step on a batch as its own `DatasetMapper` makes it."""

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.parity.weights import make_state_dict
from benchmarks.speed.anchor_detectron2 import OVERRIDES
from benchmarks.speed.engines import Task
from benchmarks.speed.train_batch import LabelledImage
from benchmarks.speed.train_engines import LEARNING_RATE, TrainStep


def load(task: Task, precision: str, batch: Sequence[LabelledImage]) -> TrainStep:
    """A step on a fixed batch, in fp32: its mixed precision needs a GPU."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    from detectron2 import model_zoo
    from detectron2.modeling import build_model
    from detectron2.solver import build_optimizer
    from detectron2.utils.events import EventStorage

    if precision != "fp32":
        raise ValueError("detectron2 trains in fp32 on a CPU")
    torch.set_num_threads(task.threads)
    cfg = model_zoo.get_config(task.file, trained=False)
    cfg.MODEL.DEVICE = "cpu"
    cfg.SOLVER.BASE_LR = LEARNING_RATE
    model = build_model(cfg).train()
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    model.load_state_dict(make_state_dict(shapes, overrides=OVERRIDES.get(task.config, ())))
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
