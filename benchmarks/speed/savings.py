"""Measure the gain of each detour of `app/engine/cpu`: with and without it, in turns.

All ways run in one process; a round runs each of them once.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from app.engine.cpu import onednn, prepare, winograd
from app.engine.cpu.nearby import NearbyRetinaNet
from app.engine.layers.nms import nms_sorted
from app.engine.layers.roi_pool import ROIPooler
from app.engine.modeling.meta_arch._dense_filter import BestPairs
from app.engine.modeling.meta_arch.retinanet import RetinaNet
from app.engine.modeling.rpn import RPN
from app.engine.predictor import Predictor
from benchmarks.speed import train_ours
from benchmarks.speed.engine_ours import build_model
from benchmarks.speed.engines import Workload, read_pixels
from benchmarks.speed.report import described
from benchmarks.speed.train_batch import make_batch
from benchmarks.speed.verb import Options, Parser, add_image, add_models, workloads

KIND = "savings"

_OBJECTS = 30
_BOXES, _KEPT = 5000, 100

Times = dict[str, list[float]]


def _plain(*kinds: type[nn.Module]) -> Callable[[ExitStack], None]:
    """Return a function that keeps modules of these kinds plain."""

    def take_out(stack: ExitStack) -> None:
        for table in ("FOR_INFERENCE", "FOR_TRAINING"):
            left = {k: v for k, v in getattr(prepare, table).items() if not issubclass(k, kinds)}
            stack.enter_context(mock.patch.object(prepare, table, left))

    return take_out


def _narrow(stack: ExitStack) -> None:
    """Keep convolutions of 64 and 128 channels plain."""
    stack.enter_context(mock.patch.object(winograd, "FEWEST_CHANNELS", 256))


def _no_packed_linear(stack: ExitStack) -> None:
    stack.enter_context(mock.patch.object(onednn, "_agrees", lambda kind, _: kind != "linear"))


def _no_packed_conv(stack: ExitStack) -> None:
    stack.enter_context(mock.patch.object(prepare, "can_pack", return_value=False))


def _no_groups(stack: ExitStack) -> None:
    stack.enter_context(mock.patch.object(onednn, "_agrees", lambda kind, _: kind != "groups"))


INFERENCE: dict[str, Callable[[ExitStack], None]] = {
    "3x3 convolutions by tiles": _plain(nn.Conv2d),
    "... of 64 and 128 channels": _narrow,
    "... their products in one call of oneDNN": _no_groups,
    "RoIAlign by gathering": _plain(ROIPooler),
    "box tower near likely objects": _plain(RetinaNet),
    "linear layers packed": _no_packed_linear,
    "other convolutions packed": _no_packed_conv,
}
TRAINING: dict[str, Callable[[ExitStack], None]] = {
    "3x3 convolutions by tiles": _plain(nn.Conv2d),
    "RoIAlign by gathering": _plain(ROIPooler),
    "RPN's gradients at sampled cells": _plain(RPN),
    "box tower's gradients at positive cells": _plain(RetinaNet),
}
"""Name of a detour -> a function that disables it while a model is prepared."""

_ONLY = {
    "RoIAlign by gathering": "rcnn",
    "linear layers packed": "rcnn",
    "RPN's gradients at sampled cells": "rcnn",
    "box tower near likely objects": "retinanet",
    "box tower's gradients at positive cells": "retinanet",
}
"""Detours that only some models have -> a part of the names of these models."""


def add_options(parser: Parser) -> None:
    """Options for the models, the photograph, the precision and the kind of work."""
    add_models(parser, rounds=5)
    add_image(parser)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--train", action="store_true", help="a training step of two images")


def contents(options: Options) -> Iterator[dict[str, Any]]:
    """A record for each model."""
    for workload in workloads(options):
        yield measure(
            workload, options.image, options.precision, train=options.train, rounds=options.rounds
        )


describe = described


def measure(
    workload: Workload, image: Path, precision: str, *, train: bool, rounds: int
) -> dict[str, Any]:
    """The content of a `savings` record."""
    table = TRAINING if train else INFERENCE
    names = [name for name in table if _ONLY.get(name, "") in workload.config]
    with _likely_objects():
        ways = {"": _way(workload, image, precision, train)}
        for name in names:
            with ExitStack() as stack:
                table[name](stack)
                ways[name] = _way(workload, image, precision, train)
        times = _take_turns(ways, rounds)
    what = "one training step of 2" if train else "one image"
    rows = [_row(name, times) for name in names]
    if not train:
        rows.append(_nms_of_prefix(rounds))
    return {
        "key": [workload.config, workload.short, precision, what],
        "title": "What each detour gains: "
        f"{workload.config}, {workload.short} px, {precision}, {what}",
        "columns": ["detour", "with, ms", "without, ms", "gain"],
        "rows": rows,
        "notes": f"`python -m benchmarks.speed savings --config {workload.config} "
        f"--short {workload.short} --precision {precision}{' --train' if train else ''}`; {rounds} "
        "rounds in turns, medians; gain: median of the quotients within a round, less 1. "
        f"{workload.threads} threads. Seeded weights; boxes are asked for at {_OBJECTS} objects of "
        "20 to 400 pixels, for seeded scores lie everywhere.",
    }


def _way(workload: Workload, image: Path, precision: str, train: bool) -> Callable[[], Any]:
    """Prepare a model; return a function that detects, or does a training step."""
    model, cfg = build_model(workload)
    if not train:
        predictor, pixels = Predictor(model, cfg, precision=precision, consume=True), None
        pixels = read_pixels(image)
        return lambda: predictor.detect([pixels])
    batch = make_batch([image], batch=2, short=workload.short, max_size=workload.max_size)
    stepper = train_ours.build(model, cfg, precision)
    samples = [train_ours.sample(labelled, masks=cfg.MODEL.MASK_ON) for labelled in batch]

    def step() -> None:
        torch.manual_seed(0)
        stepper(samples)

    return step


@contextmanager
def _likely_objects() -> Iterator[None]:
    """Inside, RetinaNet's likely anchors lie where objects would be."""
    with ExitStack() as stack:
        for kind in (RetinaNet, NearbyRetinaNet):
            whole = kind.deltas_of

            def at_objects(
                model: RetinaNet, feature: Tensor, level: int, best: BestPairs, whole: Any = whole
            ) -> Tensor:
                near = _cells_of_objects(feature, level) * (model.head.bbox_pred.out_channels // 4)
                index = torch.arange(best.anchors.shape[1]) % max(len(near), 1)
                scores = torch.full_like(best.scores, 1e3 if len(near) else -1e3)
                anchors = near[index].expand_as(best.anchors) if len(near) else best.anchors
                deltas: Tensor = whole(
                    model, feature, level, BestPairs(scores, anchors, best.classes)
                )
                return deltas

            stack.enter_context(mock.patch.object(kind, "deltas_of", at_objects))
        yield


def _cells_of_objects(feature: Tensor, level: int) -> Tensor:
    """Indices of the cells around the centres of the objects whose size suits a level."""
    height, width = feature.shape[2:]
    generator = torch.Generator().manual_seed(1)
    centers = torch.rand((_OBJECTS, 2), generator=generator) * torch.tensor([height, width])
    sides = 20 * 20 ** torch.rand(_OBJECTS, generator=generator)
    # Anchors have four strides and more; objects of half to twice that size belong to the level.
    centers = centers[(sides / (32 * 2**level)).log2().abs() < 1]
    steps = torch.arange(-2, 3)
    rows = (centers[:, :1].long() + steps).clamp(0, height - 1)
    columns = (centers[:, 1:].long() + steps).clamp(0, width - 1)
    return (rows[:, :, None] * width + columns[:, None]).flatten()


def _nms_of_prefix(rounds: int) -> list[str]:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand((_BOXES, 2), generator=generator) * 700
    sides = 20 + 80 * torch.rand((_BOXES, 2), generator=generator)
    boxes = torch.cat((corners, corners + sides), dim=1)
    name = f"suppression in a prefix: best {_KEPT} of {_BOXES:,} boxes, alone"
    ways = {
        "": lambda: boxes[nms_sorted(boxes[: 4 * _KEPT], 0.5)[:_KEPT]],
        name: lambda: boxes[nms_sorted(boxes, 0.5)[:_KEPT]],
    }
    return _row(name, _take_turns(ways, rounds))


def _take_turns(ways: dict[str, Callable[[], Any]], rounds: int) -> Times:
    """Seconds of each way in each round, after a first round that is not counted."""
    times: Times = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - started)
    return {name: seconds[1:] for name, seconds in times.items()}


def _row(name: str, times: Times) -> list[str]:
    quotients = [b / a for a, b in zip(times[""], times[name], strict=True)]
    ms = [f"{1000 * statistics.median(times[way]):.1f}" for way in ("", name)]
    return [name, *ms, f"{100 * (statistics.median(quotients) - 1):+.0f} %"]
