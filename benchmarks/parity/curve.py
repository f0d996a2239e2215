"""python -m benchmarks.parity.curve [NAME ...]: fifty iterations of training beside detectron2's.

Same weights, scenes, order, flips and random draws; each engine uses its own model, optimizer and
warm-up schedule. Fails where a loss is off by more than 1e-3 relative.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.engine.config import load_config
from app.engine.modeling.build import build_detector
from app.engine.solver import build_optimizer, build_schedule
from benchmarks.parity import scenes
from benchmarks.parity.check import CONFIGS, sample
from benchmarks.parity.golden import Labels
from benchmarks.parity.weights import Rule, make_state_dict

GOLDENS = Path(__file__).parents[2] / "tests" / "parity" / "curves"
ITERATIONS = 50
TOLERANCE = 1e-3

# Heads as training starts them: with the strong ones of the other recordings, rounding would grow
# a hundredfold within these iterations, in detectron2 beside itself as well.
FRESH_HEADS: list[Rule] = [
    (r"^head\.cls_score\.bias$", "affine", (-4.595, 0.0)),
    (r"^head\..*weight$", "conv", (0.48, False)),
    (r"rpn_head\..*weight$", "conv", (0.48, False)),
    (r"rpn_head\.objectness_logits\.bias$", "affine", (0.0, 0.0)),
    (r"box_predictor\.cls_score\.weight$", "conv", (0.32, False)),
    (r"box_predictor\.cls_score\.bias$", "affine", (0.0, 0.0)),
    (r"box_predictor\.bbox_pred\.weight$", "conv", (0.032, False)),
]

# detectron2's rule for two images in place of sixteen: an eighth of the rate, fully reached within
# these iterations. Two-stage models are left out: proposals that appear or vanish by rounding set
# detectron2 apart from itself, too, within a few iterations.
CURVES: dict[str, tuple[str, list[Any]]] = {
    "retinanet_R_50_FPN_1x": (
        "COCO-Detection/retinanet_R_50_FPN_1x.yaml",
        ["SOLVER.BASE_LR", 0.00125, "SOLVER.IMS_PER_BATCH", 2, "SOLVER.WARMUP_ITERS", 50],
    ),
}


def batches() -> Iterator[list[tuple[scenes.Image, Labels]]]:
    """Two scenes of two sizes for each iteration, in a fixed order, each flipped or not."""
    random = np.random.RandomState(0)
    for _ in range(ITERATIONS):
        seeds, flips = random.randint(0, 20, size=2), random.randint(0, 2, size=2)
        yield [_scene(int(seeds[i]), (128, 160 + 32 * i), flip=bool(flips[i])) for i in range(2)]


def _scene(seed: int, size: tuple[int, int], *, flip: bool) -> tuple[scenes.Image, Labels]:
    image = scenes.image(*size, seed=seed)
    boxes = scenes.boxes(*size)[seed % 4 :]
    if flip:
        image = np.ascontiguousarray(image[:, ::-1])
        boxes = np.stack(
            (size[1] - boxes[:, 2], boxes[:, 1], size[1] - boxes[:, 0], boxes[:, 3]), 1
        )
    classes = (np.arange(len(boxes)) * 7 + seed) % 80
    keypoints = scenes.keypoints(boxes, seed=seed)
    semantic = scenes.semantic(*size, num_classes=54)
    return image, Labels(boxes, classes, scenes.polygons(boxes), keypoints, semantic)


def train(name: str) -> Iterator[dict[str, float]]:
    """Losses of this engine at every iteration."""
    config, opts = CURVES[name]
    cfg = load_config(CONFIGS / config, [str(o) for o in (*opts, "MODEL.DEVICE", "cpu")])
    model = build_detector(cfg).train()
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    model.load_state_dict(make_state_dict(shapes, overrides=FRESH_HEADS))
    optimizer = build_optimizer(cfg, model)
    schedule = build_schedule(cfg, optimizer)
    for iteration, batch in enumerate(batches()):
        torch.manual_seed(iteration)
        samples = [sample(image, (image.shape[0], image.shape[1]), gt) for image, gt in batch]
        losses = model.losses([replace(s, semantic=None) for s in samples])
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        optimizer.step()
        schedule.step()
        yield {key: float(loss.detach()) for key, loss in losses.items()}


def main() -> int:
    """Print the largest difference of every tenth iteration; 1 when any is too large."""
    worst = 0.0
    for name in sys.argv[1:] or CURVES:
        expected = json.loads((GOLDENS / f"{name}.json").read_text())
        for iteration, (losses, golden) in enumerate(zip(train(name), expected, strict=True)):
            total, golden_total = sum(losses.values()), sum(golden.values())
            off = abs(total - golden_total) / golden_total
            worst = max(worst, off)
            if iteration % 10 == 9 or iteration == 0:
                sys.stdout.write(f"{name} {iteration}: loss {total:.5f}, off by {off:.1e}\n")
                sys.stdout.flush()
    sys.stdout.write(f"{'pass' if worst <= TOLERANCE else 'FAIL'}: at most {worst:.1e}\n")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
