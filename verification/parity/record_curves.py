"""python -m verification.parity.record_curves [NAME ...]: write `curves` with detectron2.

This needs an environment with detectron2 and this repository. A training in float32 runs twice: the
second time with weights in channels-last memory, to see how much detectron2 differs from itself.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from detectron2 import model_zoo
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.solver import build_lr_scheduler, build_optimizer
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import Tensor, nn

from verification.parity.curves import CURVES, Curve, InDouble, Recorded
from verification.parity.golden import Labels
from verification.parity.scenes import Image
from verification.parity.weights import fill


def main() -> None:
    """Record the named curves, or all."""
    warnings.filterwarnings("ignore")
    for name in sys.argv[1:] or CURVES:
        curve = CURVES[name]
        losses = list(_train(curve, torch.contiguous_format))
        again = [] if curve.double else list(_train(curve, torch.channels_last))
        sums, sums_again = ([sum(each.values()) for each in run] for run in (losses, again))
        itself = [abs(b - a) / a for a, b in zip(sums, sums_again, strict=False)]
        Recorded(losses, itself).write(name)
        sys.stdout.write(f"{name}: {sums[0]:.4f} -> {sums[-1]:.4f}\n")
        sys.stdout.flush()


def _train(curve: Curve, layout: torch.memory_format) -> Iterator[dict[str, float]]:
    cfg = model_zoo.get_config(curve.config, trained=False)
    assert isinstance(cfg, CfgNode)
    cfg.MODEL.DEVICE = "cpu"
    cfg.merge_from_list(curve.opts)
    model: nn.Module = build_model(cfg).train()
    fill(model, overrides=curve.overrides)
    model.to(memory_format=layout)  # type: ignore[call-overload]
    if curve.double:
        model.double()
    optimizer = build_optimizer(cfg, model)
    schedule = build_lr_scheduler(cfg, optimizer)
    for iteration, batch in enumerate(curve.batches()):
        with EventStorage(iteration), InDouble() if curve.double else nullcontext():
            inputs = [_input(image, labels) for image, labels in batch]
            torch.manual_seed(iteration)
            losses: dict[str, Tensor] = model(inputs)
            optimizer.zero_grad()
            torch.autograd.backward(torch.stack(list(losses.values())).sum())
            optimizer.step()
            schedule.step()
        yield {key: float(value.detach()) for key, value in losses.items()}


def _input(image: Image, labels: Labels) -> dict[str, Any]:
    instances = Instances(image.shape[:2])
    instances.gt_boxes = Boxes(torch.from_numpy(labels.boxes))
    instances.gt_classes = torch.from_numpy(labels.classes)
    return {
        "image": torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32)),
        "instances": instances,
    }


if __name__ == "__main__":
    main()
