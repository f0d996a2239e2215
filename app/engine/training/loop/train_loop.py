"""The training loop."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from app.engine.structures.sample import Sample
from app.engine.training.process.ranks import Ranks
from app.engine.training.state.run import Run


@dataclass(frozen=True, slots=True)
class Iteration:
    """One finished iteration.

    losses    on the device; reading them waits for the device
    lr        learning rate of this iteration
    data_s    seconds spent waiting for the batch
    seconds   duration of the whole iteration
    is_last   no iteration follows
    stop      the run is asked to end now
    save      a checkpoint is due because of the time since the last one
    """

    samples: list[Sample]
    losses: dict[str, Tensor]
    lr: float
    data_s: float
    seconds: float
    is_last: bool
    stop: bool
    save: bool


Hook = Callable[[Run, Iteration], None]
"""Called after every iteration; may end the run by raising `Finished`."""


def train_loop(
    run: Run,
    batches: Iterator[list[Sample]],
    hooks: Sequence[Hook],
    *,
    ranks: Ranks,
    should_stop: Callable[[], bool],
    should_save: Callable[[], bool],
) -> None:
    """Iterate until the end of the run's plan, or until a hook raises `Finished`."""
    run.model.train()
    while run.iteration < run.plan.max_iter:
        start = time.perf_counter()
        samples = next(batches)
        data_s = time.perf_counter() - start
        lr = _lr(run)

        losses = run.stepper(samples)
        run.schedule.step()
        if run.ema is not None:
            run.ema.update(run.model)
        run.count_iteration()

        seconds = time.perf_counter() - start
        # All processes must do the same: a flag of one process counts for all.
        run.plan.count(run.iteration)
        stop, save, replan = ranks.any(
            (should_stop(), should_save(), run.plan.is_due(run.iteration))
        )
        if replan:
            run.plan.revise(run.iteration)
        is_last = run.iteration >= run.plan.max_iter
        iteration = Iteration(samples, losses, lr, data_s, seconds, is_last, stop, save)
        for hook in hooks:
            hook(run, iteration)


def _lr(run: Run) -> float:
    """Learning rate of the group with the most parameters: the one detectron2 reports."""
    groups = run.stepper.optimizer.param_groups
    return float(max(groups, key=lambda group: len(group["params"]))["lr"])
