"""The optimiser, and the learning-rate schedule of a run."""

from app.engine.solver.optimizer import build_optimizer, load_optimizer_state
from app.engine.solver.schedule import (
    Schedule,
    auto_scale,
    build_schedule,
    curve_over,
    rescale_schedule,
    rescaled,
)

__all__ = [
    "Schedule",
    "auto_scale",
    "build_optimizer",
    "build_schedule",
    "curve_over",
    "load_optimizer_state",
    "rescale_schedule",
    "rescaled",
]
