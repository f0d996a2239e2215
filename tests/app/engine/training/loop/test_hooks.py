"""When hooks log: the iterations and the last estimate are those of detectron2's own test."""

import json
import logging
from types import SimpleNamespace

import torch

from app.engine.training.loop.hooks import log, watch_losses
from app.engine.training.loop.loss_watch import LossWatch
from app.engine.training.loop.train_loop import Iteration
from app.engine.training.process.ranks import Ranks
from app.engine.training.reporting.scalars import Scalars
from app.engine.training.reporting.writers import Writers
from app.engine.training.state.divergence import LossHistory


def test_lines_of_fifty_iterations(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path, scalars, device = tmp_path / "metrics.json", Scalars(), torch.device("cpu")
    watch = LossWatch(scalars, LossHistory(50), Ranks(0, 1, device))
    with Writers(scalars, metrics_file=path, tensorboard_dir=None) as writers:
        hooks = [
            watch_losses(watch),
            log(watch, writers, device=device),
        ]
        for iteration in range(1, 51):
            losses = {"loss": torch.tensor(float(iteration))}
            flags = {"is_last": iteration == 50, "stop": False, "save": False}
            tick = Iteration([], losses, lr=0.1, data_s=0.0, seconds=0.1, **flags)
            for hook in hooks:
                hook(SimpleNamespace(iteration=iteration, plan=SimpleNamespace(max_iter=50)), tick)
        # An evaluation after the last iteration has a line of its own.
        scalars.put(50, {"metric": 100.0}, smoothed=False)
        writers.write()

    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [19, 39, 49, 50]
    assert rows[-1]["metric"] == 100.0
    lines = [message for message in caplog.messages if "iter: " in message]
    assert [line.split("iter: ")[1].split()[0] for line in lines] == ["19", "39", "49"]
    assert "eta: 0:00:00" in lines[-1]
