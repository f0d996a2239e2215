"""The optimiser, and the learning-rate schedule of a run."""

from app.engine.solver.optimizer import build_optimizer, load_optimizer_state
from app.engine.solver.schedule import Schedule, auto_scale, build_schedule, rescale_schedule

__all__ = [
    "Schedule",
    "auto_scale",
    "build_optimizer",
    "build_schedule",
    "load_optimizer_state",
    "rescale_schedule",
]
