"""The names of a model's outputs, as its config or its weights file lists them."""

from app.engine.config import CfgNode, results
from app.engine.data.datasets.renumber import Names


def finds_classes(cfg: CfgNode) -> bool:
    """Whether the model tells classes of objects apart."""
    return "bbox" in results(cfg)


def finds_stuff(cfg: CfgNode) -> bool:
    """Whether the model gives each pixel a class."""
    return "sem_seg" in results(cfg)


def model_names(cfg: CfgNode) -> Names:
    """Return the names that the config contains."""
    model = cfg.MODEL
    classes = [str(name) for name in model.CLASS_NAMES]
    # A model that predicts only a label map has its stuff names in CLASS_NAMES.
    stuff = [str(name) for name in model.STUFF_NAMES] or ([] if finds_classes(cfg) else classes)
    return Names(
        classes if finds_classes(cfg) else (),
        [str(name) for name in model.KEYPOINT_NAMES] if model.KEYPOINT_ON else (),
        stuff if finds_stuff(cfg) else (),
    )
