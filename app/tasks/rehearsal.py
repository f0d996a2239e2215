"""The parts of a training put together once without data.

What only the built network can tell (widths that do not fit, a norm that needs other channels) is
told before data is read, which may take long.
"""

from app.engine.config import CfgNode
from app.engine.data.mapper import TrainMapper
from app.engine.modeling.build import build_blank_detector


def rehearse(cfg: CfgNode) -> None:
    """The engine's ConfigError where a training by `cfg` cannot begin, in a tenth of a second."""
    on_cpu = cfg.clone()
    on_cpu.defrost()
    on_cpu.MODEL.DEVICE = "cpu"
    build_blank_detector(on_cpu)
    TrainMapper.from_config(on_cpu)
