"""A trial construction of a training's parts without data.

Errors that only the built network shows (widths that do not fit, a norm that needs other channels)
are reported before data is read, which may take long.
"""

from app.engine.config import CfgNode
from app.engine.data.loading.mapper import TrainMapper
from app.engine.modeling.build import build_blank_detector
from app.engine.modeling.detector import Detector


def rehearse(cfg: CfgNode) -> Detector:
    """Build the blank network on the CPU; ConfigError of the engine if training cannot begin."""
    on_cpu = cfg.clone()
    on_cpu.defrost()
    on_cpu.MODEL.DEVICE = "cpu"
    model = build_blank_detector(on_cpu)
    TrainMapper.from_config(on_cpu)
    return model
