"""This engine, as `Predictor` runs it."""

import torch

from app.engine.config import CfgNode, load_config
from app.engine.modeling.build import build_detector
from app.engine.modeling.detector import Detector
from app.engine.predictor import Predictor
from benchmarks import REPOSITORY
from benchmarks.speed.engines import CONFIGS, Array, Engine, Workload
from verification.parity.check import arrays
from verification.parity.recipes import RECIPES
from verification.parity.weights import make_state_dict


def build(workload: Workload, precision: str, device: str = "cpu") -> Predictor:
    """A predictor with the seeded weights of the parity checks."""
    model, cfg = build_model(workload, device)
    return Predictor(model, cfg, precision=precision, consume=True)


def build_model(workload: Workload, device: str = "cpu") -> tuple[Detector, CfgNode]:
    """The model as training and parity checks use it, with its config."""
    torch.set_num_threads(workload.threads)
    cfg = load_config(
        REPOSITORY / "configs" / workload.file,
        ["INPUT.MIN_SIZE_TEST", str(workload.short), "INPUT.MAX_SIZE_TEST", str(workload.max_size)],
    )
    cfg.MODEL.DEVICE = device
    torch.manual_seed(0)
    model = build_detector(cfg)
    # The checks have no rules for MobileNetV2, which keeps its seeded beginning.
    if CONFIGS[workload.config] != "Mobile":
        shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
        recipe = RECIPES.get(workload.config)
        model.load_state_dict(make_state_dict(shapes, overrides=recipe.overrides if recipe else ()))
    return model.eval(), cfg


def load(workload: Workload, precision: str) -> Engine:
    """Return a function from an image to its detections."""
    predictor = build(workload, precision)

    def detect(image: Array) -> dict[str, Array]:
        return arrays(predictor.detect([image])[0])

    return detect
