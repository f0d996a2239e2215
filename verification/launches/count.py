"""Count launches and waits of a narrow model; neither depends on the width of the network."""

from collections import Counter
from dataclasses import dataclass

import torch

from app.engine.config import CfgNode, load_config
from app.engine.modeling.build import build_detector
from app.engine.modeling.detector import Detector
from app.engine.predictor import Predictor
from app.engine.solver import build_optimizer
from app.engine.structures.sample import Sample
from app.engine.training.update.step import Stepper
from verification.launches.fake_gpu import FakeGpu, fake_gpu
from verification.parity.check import CONFIGS, sample
from verification.parity.golden import Recipe
from verification.parity.variants import VARIANTS
from verification.parity.weights import fill


@dataclass(frozen=True, slots=True)
class Count:
    """Launches and waits of one call; keys are operators, and lines of the program."""

    launches: Counter[str]
    waits: Counter[str]


def of_detection(name: str, *, batch_size: int = 1) -> Count:
    """Count a batch of equally large images in `Predictor`, after a first batch."""
    recipe = VARIANTS[name]
    with fake_gpu() as gpu:
        cfg, model = _model(recipe)
        predictor = Predictor(model, cfg, batch_size=batch_size, precision="bf16", consume=True)
        images = [recipe.image(0)] * batch_size
        predictor.detect(images)
        gpu.forget()
        predictor.detect(images)
        return _count(gpu)


def of_training(name: str, *, dtype: torch.dtype | None = torch.bfloat16) -> Count:
    """Count a training iteration over two images, after a first one; losses are not read."""
    recipe = VARIANTS[name]
    with fake_gpu() as gpu:
        cfg, model = _model(recipe)
        step = Stepper(model.train(), build_optimizer(cfg, model), device=model.device, dtype=dtype)
        batch = [_labelled(recipe, index) for index in range(2)]
        step(batch)
        gpu.forget()
        step(batch)
        return _count(gpu)


def _model(recipe: Recipe) -> tuple[CfgNode, Detector]:
    path = (CONFIGS / recipe.config).with_suffix(".yaml")
    cfg = load_config(path, [str(o) for o in (*recipe.opts, "MODEL.DEVICE", "cuda")])
    model = build_detector(cfg)
    model.to("cpu")
    fill(model, overrides=recipe.overrides)
    return cfg, model.to("cuda")


def _labelled(recipe: Recipe, index: int) -> Sample:
    image = recipe.train_image(index)
    return sample(image, (image.shape[0], image.shape[1]), recipe.labels(index))


def _count(gpu: FakeGpu) -> Count:
    return Count(Counter(gpu.launches), Counter(gpu.waits))
