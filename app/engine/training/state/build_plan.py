"""Builds the plan of a run: a number of iterations, or a number of minutes."""

from app.engine.solver import Schedule
from app.engine.training.process.ranks import Ranks
from app.engine.training.request import TrainRequest
from app.engine.training.state.pace import Pace
from app.engine.training.state.plan import Plan, evaluated_after, evaluation_cost
from app.engine.training.state.timed_plan import TimedPlan


def build_plan(request: TrainRequest, schedule: Schedule, ranks: Ranks) -> Plan:
    """Return the plan of `request`, which moves `schedule` if it is timed."""
    cfg, pace = request.cfg, Pace(request.clock)
    assert request.started is not None, "train() notes when a run is started"
    cost = evaluation_cost(request)
    if cfg.SOLVER.MAX_MINUTES > 0:
        views = cfg.TEST.AUG
        augmented = len(views.MIN_SIZES) * (2 if views.FLIP else 1) if views.ENABLED else 0
        return TimedPlan(
            schedule,
            ranks,
            pace,
            cfg,
            is_evaluated=bool(request.val_records),
            cost=cost,
            last_cost=1.0 + augmented,
            started=request.started,
        )
    return Plan(
        ranks,
        pace,
        max_iter=int(cfg.SOLVER.MAX_ITER),
        evaluations=evaluated_after(request),
        cost=cost,
        started=request.started,
    )
