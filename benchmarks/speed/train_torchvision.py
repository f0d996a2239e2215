"""torchvision's detection models, trained by a plain loop."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.engine.cpu.prepare import PRECISIONS
from benchmarks.speed.anchor_torchvision import build_model
from benchmarks.speed.engines import Workload
from benchmarks.speed.train_batch import LabelledImage
from benchmarks.speed.train_engines import LEARNING_RATE, TrainStep

# detectron2 freezes the stem and the first stage, and so does torchvision's own recipe.
_FROZEN = ("backbone.body.conv1.", "backbone.body.layer1.")


def load(workload: Workload, precision: str, batch: Sequence[LabelledImage]) -> TrainStep:
    """Return a function that does a step on a fixed batch."""
    step = build(workload, precision, batch, torch.device("cpu"))
    return lambda: {name: float(loss) for name, loss in step().items()}


def build(
    workload: Workload, precision: str, batch: Sequence[LabelledImage], device: torch.device
) -> Callable[[], dict[str, Tensor]]:
    """Return a function that does a step on a fixed batch and returns its losses on the device."""
    model = build_model(workload).train().to(device)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(_FROZEN))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
    images = [torch.from_numpy(chw(image)) for image in batch]
    targets = [_target(image) for image in batch]
    dtype = PRECISIONS[precision]

    def step() -> dict[str, Tensor]:
        there = [{name: value.to(device) for name, value in t.items()} for t in targets]
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            losses = model([image.to(device).float() / 255 for image in images], there)
        optimizer.zero_grad()
        total: Any = torch.stack([loss.float() for loss in losses.values()]).sum()
        total.backward()
        optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}

    return step


def chw(image: LabelledImage) -> Any:
    """(3, H, W) uint8 RGB."""
    return np.ascontiguousarray(image.pixels[:, :, ::-1].transpose(2, 0, 1))


def _target(image: LabelledImage) -> dict[str, Tensor]:
    from pycocotools import mask as coco_mask

    height, width = image.pixels.shape[:2]
    codes = [coco_mask.frPyObjects([ring], height, width)[0] for ring in image.polygons]
    masks = np.stack([coco_mask.decode(code) for code in codes])
    return {
        "boxes": torch.from_numpy(image.boxes),
        "labels": torch.from_numpy(image.classes + 1),
        "masks": torch.from_numpy(masks),
    }
