"""The schedule of a run that is given minutes, by a clock that the tests move."""

import logging

import pytest
import torch

from app.engine.config import get_config
from app.engine.solver import build_schedule
from app.engine.training.process.ranks import Ranks
from app.engine.training.state.pace import Pace
from app.engine.training.state.plan import Plan
from app.engine.training.state.timed_plan import TimedPlan

MINUTES = 10.0


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Session:
    """A run without a model: iterations and evaluations that take time."""

    def __init__(self, clock: Clock, *, evaluated: bool = True, **settings: object) -> None:
        cfg = get_config()
        cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.WARMUP_ITERS = 90_000, (60_000,), 1000
        cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_MINUTES, cfg.TEST.EVAL_SHARE = 1.0, MINUTES, 0.1
        for key, value in settings.items():
            section, name = key.split("__")
            cfg[section][name] = value
        cfg.freeze()
        self.clock = clock
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        self.schedule = build_schedule(cfg, optimizer)
        self.rates = []
        self.evaluations = []
        self.fractions = []
        self.iteration = 0
        self.plan = TimedPlan(
            self.schedule,
            Ranks(0, 1, torch.device("cpu")),
            Pace(clock),
            cfg,
            is_evaluated=evaluated,
            cost=0.1,
            last_cost=1.0,
            started=clock(),
        )

    def go(self, seconds, *, evaluation_s=0.0, until=10**9):
        """Train to the end or `until`; `seconds` of an iteration, or a function of its number."""
        self.plan.begin(self.iteration)
        while self.iteration < min(self.plan.max_iter, until):
            self.rates.append(self.schedule.optimizer.param_groups[0]["lr"])
            self.clock.now += seconds(self.iteration) if callable(seconds) else seconds
            self.schedule.step()
            self.iteration += 1
            self.plan.count(self.iteration)
            if self.plan.is_due(self.iteration):
                self.plan.revise(self.iteration)
            self.fractions.append(self.plan.fraction())
            if self.plan.is_evaluated_after(self.iteration):
                with self.plan.evaluation():
                    self.clock.now += evaluation_s
                self.evaluations.append(self.iteration)
        return self


def spent(session: Session, since: float = 1000.0) -> float:
    return session.clock.now - since


@pytest.mark.parametrize(
    ("seconds", "evaluation_s", "iterations"),
    [
        pytest.param(1.0, 0.0, 600, id="nothing but iterations"),
        pytest.param(1.0, 6.0, 540, id="ten evaluations are paid for"),
        pytest.param(0.2, 0.0, 3000, id="a fast machine"),
        pytest.param(120.0, 0.0, 5, id="a slow one"),
    ],
)
def test_the_time_is_used_and_the_rate_has_decayed(seconds, evaluation_s, iterations):
    session = Session(Clock(), SOLVER__LR_SCHEDULER_NAME="WarmupCosineLR")
    session.go(seconds, evaluation_s=evaluation_s)
    assert session.iteration == pytest.approx(iterations, rel=0.01)
    assert spent(session) == pytest.approx(600, abs=max(seconds, 1))
    assert session.schedule.share == pytest.approx(1.0)
    if iterations > 100:
        assert session.rates[-1] < 1e-3
        assert len(session.evaluations) == 10
        assert session.fractions[iterations // 2] == pytest.approx(0.5, abs=0.02)


def test_steps_and_warm_up_are_those_of_a_run_of_that_many_iterations():
    session = Session(Clock()).go(1.0)
    assert session.rates[:60] == pytest.approx(
        [0.001 + 0.999 * k / 60 for k in range(60)], abs=0.03
    )
    decayed = next(k for k, rate in enumerate(session.rates) if k > 100 and rate < 0.5)
    assert decayed == pytest.approx(400, abs=2)
    assert session.plan.lengths() == {
        "SOLVER.MAX_ITER": session.iteration,
        "SOLVER.STEPS": (400,),
        "SOLVER.WARMUP_ITERS": 60,
    }


@pytest.mark.parametrize("later_s", [0.25, 4.0])
def test_a_machine_that_changes_its_speed_still_ends_in_time(later_s):
    session = Session(Clock(), SOLVER__LR_SCHEDULER_NAME="WarmupCosineLR")
    session.go(lambda iteration: 1.0 if iteration < 200 else later_s)
    assert spent(session) == pytest.approx(600, abs=2 * later_s)
    assert session.schedule.share > 0.99
    jumps = [abs(a - b) for a, b in zip(session.rates, session.rates[1:], strict=False)]
    assert max(jumps[60:]) < 0.02  # the rate bends, it does not jump


def test_max_iter_is_the_most():
    session = Session(Clock(), SOLVER__MAX_ITER=100, SOLVER__STEPS=(60,), SOLVER__WARMUP_ITERS=10)
    session.go(1.0, evaluation_s=2.0)
    assert session.iteration == 100
    assert session.schedule.share == pytest.approx(1.0)
    assert session.fractions[50] == pytest.approx(0.5, abs=0.06)


def test_slow_evaluations_are_made_less_often():
    session = Session(Clock()).go(1.0, evaluation_s=60.0)
    assert len(session.evaluations) == 3  # the first, when their time is not known yet, and two
    assert session.evaluations[-1] == session.iteration
    assert spent(session) == pytest.approx(600, abs=3)


def test_evaluations_by_period_are_where_they_were_asked_for():
    session = Session(Clock(), TEST__EVAL_SHARE=0.0, TEST__EVAL_PERIOD=100)
    session.go(1.0, evaluation_s=10.0)
    *periodic, last = session.evaluations
    assert periodic == [100, 200, 300, 400, 500]
    assert last == session.iteration
    assert spent(session) == pytest.approx(600, abs=6)


def test_nothing_to_evaluate():
    session = Session(Clock(), evaluated=False).go(1.0)
    assert session.evaluations == []
    assert session.iteration == pytest.approx(600, abs=2)


def resumed(session: Session, *, pause_s: float, **settings: object) -> Session:
    """Another process goes on from a checkpoint of `session`, `pause_s` seconds later."""
    state, iteration = session.plan.state_dict(), session.iteration
    clock = Clock(session.clock.now + pause_s)
    other = Session(clock, **settings)
    other.schedule.load_state_dict({"last_epoch": iteration})
    other.plan.load_state_dict(state)
    other.iteration = iteration
    return other


@pytest.mark.parametrize("pause_s", [0.0, 86_400.0])
def test_a_resumed_run_counts_the_time_spent_but_not_the_pause(pause_s):
    first = Session(Clock(), SOLVER__LR_SCHEDULER_NAME="WarmupCosineLR").go(1.0, until=300)
    second = resumed(first, pause_s=pause_s, SOLVER__LR_SCHEDULER_NAME="WarmupCosineLR")
    share = first.schedule.share
    assert second.schedule.share == share
    second.go(1.0)
    assert second.iteration == pytest.approx(600, abs=2)
    assert second.rates[0] == pytest.approx(first.rates[-1], abs=0.01)
    assert second.rates[-1] < 1e-3
    assert spent(second, 1000 + 300 + pause_s) == pytest.approx(300, abs=1)
    # Without the first evaluations, which the first process made.
    assert len(first.evaluations) + len(second.evaluations) == 10


def test_more_minutes_after_the_end_raise_the_rate_again():
    first = Session(Clock(), SOLVER__LR_SCHEDULER_NAME="WarmupCosineLR").go(1.0)
    longer = {"SOLVER__LR_SCHEDULER_NAME": "WarmupCosineLR", "SOLVER__MAX_MINUTES": 20.0}
    second = resumed(first, pause_s=5.0, **longer)
    assert second.schedule.share == pytest.approx(0.5, abs=0.01)
    second.go(1.0)
    assert second.iteration == pytest.approx(1200, abs=3)


def test_a_finished_run_that_is_started_again_trains_no_more():
    first = Session(Clock()).go(1.0)
    second = resumed(first, pause_s=5.0).go(1.0)
    assert second.iteration == first.iteration


def test_a_checkpoint_that_knows_no_time_leaves_all_of_it():
    session = Session(Clock())
    session.schedule.load_state_dict({"last_epoch": 50})
    session.plan.load_state_dict(None)
    session.iteration = 50
    session.go(1.0)
    assert session.iteration == pytest.approx(650, abs=2)


def test_going_back_to_its_own_checkpoint_does_not_give_time_back():
    session = Session(Clock()).go(1.0, until=100)
    state = session.plan.state_dict()
    session.go(1.0, until=200)
    session.schedule.load_state_dict({"last_epoch": 100})
    session.plan.load_state_dict(state)
    session.iteration = 100
    session.go(1.0)
    assert spent(session) == pytest.approx(600, abs=2)
    assert session.iteration == pytest.approx(500, abs=2)


def test_time_that_is_over_before_the_first_iteration_leaves_one(caplog):
    caplog.set_level(logging.INFO)
    session = Session(Clock(), SOLVER__MAX_MINUTES=0.01)
    session.clock.now += 10
    session.go(1.0)
    assert session.iteration == 1
    session.schedule._bend = (0, 0.0)
    session.plan.tell_end(session.iteration)


def test_the_log_tells_the_plan_once_and_again_when_it_changes(caplog):
    caplog.set_level(logging.INFO)
    session = Session(Clock()).go(lambda iteration: 1.0 if iteration < 200 else 4.0)
    plans = [message for message in caplog.messages if "the training goes on for" in message]
    assert plans[0].startswith("the plan: the training goes on for about 0:09:39: 578 iterations")
    assert "the plan has changed" in plans[1]
    assert len(plans) < 8
    session.plan.tell_end(session.iteration)
    assert "100 % of the schedule were done in 0:" in caplog.messages[-1]


def test_a_fixed_number_of_iterations_says_how_long_it_takes(caplog):
    caplog.set_level(logging.INFO)
    clock = Clock()
    ranks = Ranks(0, 1, torch.device("cpu"))
    plan = Plan(ranks, Pace(clock), max_iter=100, evaluations=[50, 100], cost=2.0, started=clock())
    plan.begin(0)
    for iteration in range(1, 101):
        clock.now += 0.5
        plan.count(iteration)
        assert not plan.is_due(iteration)
    assert caplog.messages == [
        "this training takes about 0:00:42: 79 iterations of 0.5 s, 2 evaluations of about 1 s"
    ]
