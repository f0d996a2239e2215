"""This engine, as `Predictor` runs it."""

import torch

from app.engine.config import CfgNode, load_config
from app.engine.modeling.build import build_detector
from app.engine.modeling.detector import Detector
from app.engine.predictor import Predictor
from benchmarks import REPOSITORY
from benchmarks.speed.engines import Array, Engine, Task
from verification.parity.check import arrays
from verification.parity.recipes import RECIPES
from verification.parity.weights import make_state_dict


def build(task: Task, precision: str, device: str = "cpu") -> Predictor:
    """A predictor with the seeded weights of the parity checks."""
    model, cfg = build_model(task, device)
    return Predictor(model, cfg, precision=precision, consume=True)


def build_model(task: Task, device: str = "cpu") -> tuple[Detector, CfgNode]:
    """The model as training and parity checks use it, with its config."""
    torch.set_num_threads(task.threads)
    cfg = load_config(
        REPOSITORY / "configs" / task.file,
        ["INPUT.MIN_SIZE_TEST", str(task.short), "INPUT.MAX_SIZE_TEST", str(task.max_size)],
    )
    cfg.MODEL.DEVICE = device
    model = build_detector(cfg)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    recipe = RECIPES.get(task.config)
    model.load_state_dict(make_state_dict(shapes, overrides=recipe.overrides if recipe else ()))
    return model.eval(), cfg


def load(task: Task, precision: str) -> Engine:
    """Return a function from an image to its detections."""
    predictor = build(task, precision)

    def detect(image: Array) -> dict[str, Array]:
        return arrays(predictor.detect([image])[0])

    return detect
