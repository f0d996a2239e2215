"""This engine's side: build a config's model, load the seeded weights, compare."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from app.engine.config import load_config
from app.engine.cpu.prepare import prepare_for_inference, prepare_for_training
from app.engine.modeling.build import build_detector
from app.engine.modeling.detector import Detector
from app.engine.modeling.meta_arch.generalized_rcnn import GeneralizedRCNN
from app.engine.structures.detections import Detections
from app.engine.structures.masks import PolygonMasks
from app.engine.structures.sample import Sample
from app.engine.structures.targets import GroundTruth, Proposals
from app.engine.tta import AugmentedDetector
from verification import REPOSITORY
from verification.parity import scenes
from verification.parity.compare import (
    Comparison,
    compare_detections,
    compare_gradients,
    compare_losses,
)
from verification.parity.golden import Array, Case, Golden, Labels, Training
from verification.parity.scenes import Image
from verification.parity.weights import fill

CONFIGS = REPOSITORY / "configs"


def check(golden: Golden, *, prepared: bool = False, device: str = "cpu") -> Iterator[Comparison]:
    """One comparison for each case of the golden, then one for each training step.

    prepared  as `Predictor` and the trainer run models
    """
    yield from check_cases(golden, prepared=prepared, device=device)
    if golden.training is not None:
        yield from check_training(golden, golden.training, prepared=prepared, device=device)


def build(golden: Golden, opts: list[Any], *, device: str = "cpu") -> Detector:
    """The model of the golden's config with its seeded weights."""
    path = (CONFIGS / golden.config).with_suffix(".yaml")
    cfg = load_config(path, [str(o) for o in (*golden.opts, *opts, "MODEL.DEVICE", "cpu")])
    model = build_detector(cfg)
    fill(model, overrides=golden.overrides)
    if cfg.MODEL.ROI_BOX_HEAD.USE_FED_LOSS and isinstance(model, GeneralizedRCNN):
        counts = scenes.image_counts(cfg.MODEL.ROI_HEADS.NUM_CLASSES)
        model.set_image_counts(torch.tensor(counts))
    model.to(device)
    return AugmentedDetector.around(model, cfg) if cfg.TEST.AUG.ENABLED else model


def check_cases(
    golden: Golden, *, prepared: bool = False, device: str = "cpu"
) -> Iterator[Comparison]:
    """Detections of each image against detectron2's; `prepared`: as `Predictor` runs the model."""
    thresholds = [case.score_thresh for case in golden.cases]
    section = "RETINANET" if "retinanet" in golden.config else "ROI_HEADS"
    for threshold in dict.fromkeys(thresholds):
        opts = [] if threshold is None else [f"MODEL.{section}.SCORE_THRESH_TEST", threshold]
        model = build(golden, opts, device=device).eval()
        if prepared:
            model = prepare_for_inference(model, consume=True)
        for case in golden.cases:
            if case.score_thresh == threshold:
                yield check_case(golden, case, model)


def check_case(golden: Golden, case: Case, model: Detector) -> Comparison:
    """Detections of one image against detectron2's."""
    inputs = sample(case.image, case.original_size)
    with torch.no_grad():
        (found,) = model.detect([_with_proposals(golden, inputs)])
    return compare_detections(
        f"{golden.config} {case.name}", case.expected, arrays(found.to("cpu"))
    )


def check_training(
    golden: Golden,
    training: Training,
    *,
    steps: int | None = None,
    prepared: bool = False,
    device: str = "cpu",
) -> Iterator[Comparison]:
    """Losses of successive SGD steps on one batch, and the first gradients.

    steps     how many; None means all
    prepared  as the trainer runs the model
    """
    model = build(golden, training.opts, device=device).train()
    if prepared:
        prepare_for_training(model)
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad],
        lr=training.lr,
        momentum=0.9,
        weight_decay=1e-4,
    )
    batch = [
        _with_proposals(golden, sample(image, (image.shape[0], image.shape[1]), labels))
        for image, labels in zip(training.images, training.labels, strict=True)
    ]
    for step, expected in enumerate(training.losses[:steps]):
        torch.manual_seed(step)
        losses = model.losses(batch)
        actual = {name: float(loss.detach()) for name, loss in losses.items()}
        yield compare_losses(f"{golden.config} losses at step {step}", expected, actual, step=step)
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        if step == 0 and training.gradients:
            name = f"{golden.config} gradients at step 0"
            yield compare_gradients(name, training.gradients, _gradients(model))
        optimizer.step()


def _gradients(model: Detector) -> dict[str, tuple[float, float, int]]:
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {
        name: (float(grad.double().norm()), float(grad.double().sum()), grad.numel())
        for name, grad in found.items()
    }


def sample(image: Image, original_size: tuple[int, int], labels: Labels | None = None) -> Sample:
    """A BGR image (H, W, 3) as an input of the model."""
    pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    if labels is None:
        return Sample(pixels, original_size)
    gt = GroundTruth(
        torch.from_numpy(labels.boxes),
        torch.from_numpy(labels.classes).long(),
        PolygonMasks(labels.polygons),
        torch.from_numpy(labels.keypoints),
    )
    return Sample(pixels, original_size, gt, semantic=torch.from_numpy(labels.semantic))


def _with_proposals(golden: Golden, inputs: Sample) -> Sample:
    if "fast_rcnn" not in golden.config:
        return inputs
    boxes, logits = scenes.proposals(*inputs.size)
    proposals = Proposals(inputs.size, torch.from_numpy(boxes), torch.from_numpy(logits))
    return replace(inputs, proposals=proposals)


def arrays(found: Detections) -> dict[str, Array]:
    """Detections in the form that `compare_detections` expects."""
    result: dict[str, Array] = {
        "boxes": found.boxes.numpy(),
        "scores": found.scores.numpy(),
        "classes": found.classes.numpy(),
    }
    if found.masks is not None:
        result["masks"] = found.masks.numpy()
    if found.keypoints is not None:
        result["keypoints"] = found.keypoints.numpy()
    if found.semantic is not None:
        result["semantic"] = found.semantic.argmax(dim=0).numpy()
    if found.panoptic is not None:
        segments, about = found.panoptic
        result["panoptic"] = segments.numpy()
        result["panoptic_things"] = np.asarray([s["isthing"] for s in about], dtype=bool)
        result["panoptic_classes"] = np.asarray([s["category_id"] for s in about], dtype=np.int64)
    return result
