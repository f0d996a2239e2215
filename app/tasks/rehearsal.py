"""The parts of a training put together once without data.

What only the built network can tell (widths that do not fit, a norm that needs other channels) is
told before data is read, which may take long.
"""

from app.engine.config import CfgNode
from app.engine.data.loading.mapper import TrainMapper
from app.engine.modeling.build import build_blank_detector
from app.engine.modeling.detector import Detector


def rehearse(cfg: CfgNode) -> Detector:
    """The blank network on the CPU; the engine's ConfigError where a training cannot begin."""
    on_cpu = cfg.clone()
    on_cpu.defrost()
    on_cpu.MODEL.DEVICE = "cpu"
    model = build_blank_detector(on_cpu)
    TrainMapper.from_config(on_cpu)
    return model
