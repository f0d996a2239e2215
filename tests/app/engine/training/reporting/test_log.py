"""Log lines and metrics of a run, with numbers from detectron2's own tests and logs."""

import json
import math

import pytest

from app.engine.training.reporting.log_line import log_line
from app.engine.training.reporting.scalars import Scalars
from app.engine.training.reporting.writers import Writers


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_names_written_in_their_own_period(tmp_path):
    """detectron2's testScalarMismatchedPeriod."""
    scalars = Scalars()
    path = tmp_path / "metrics.json"
    with Writers(scalars, metrics_file=path, tensorboard_dir=None) as writers:
        for k in range(60):
            if k % 17 == 0:
                scalars.put(k, {"key2": k}, smoothed=False)
            scalars.put(k, {"key": k}, smoothed=False)
            if (k + 1) % 20 == 0:
                writers.write()
    rows = read(path)
    assert [row.get("key2", 0) for row in rows] == [17, 0, 34, 0, 51, 0]
    assert [row.get("key", 0) for row in rows] == [0, 19, 0, 39, 0, 59]
    assert [row["iteration"] for row in rows] == [17, 19, 34, 39, 51, 59]


def test_medians_over_a_window_of_iterations(tmp_path):
    """detectron2's testSmoothingWithWindowSize."""
    scalars = Scalars()
    path = tmp_path / "metrics.json"
    with Writers(scalars, metrics_file=path, tensorboard_dir=None, window=10) as writers:
        for k in range(20):
            for name, period in (("key1", 1), ("key2", 2), ("key3", 5)):
                if (k + 1) % period == 0:
                    scalars.put(k, {name: k})
            if (k + 1) % 10 == 0:
                writers.write()
    assert [len(scalars.series[k].recent(10)) for k in ("key1", "key2", "key3")] == [10, 5, 2]
    rows = read(path)
    assert [row["key1"] for row in rows] == [4.5, 14.5]
    assert [row["key2"] for row in rows] == [5, 15]
    assert [row["key3"] for row in rows] == [6.5, 16.5]


def test_undefined_numbers_keep_the_file_valid(tmp_path):
    scalars = Scalars()
    path = tmp_path / "metrics.json"
    with Writers(scalars, metrics_file=path, tensorboard_dir=None) as writers:
        scalars.put(3, {"bbox/AP": 1.5, "bbox/APl": math.nan}, smoothed=False)
        writers.write()
        writers.write()
    assert read(path) == [{"bbox/AP": 1.5, "iteration": 3}]


def test_numbers_of_one_iteration_in_two_writes(tmp_path):
    scalars = Scalars()
    path = tmp_path / "metrics.json"
    with Writers(scalars, metrics_file=path, tensorboard_dir=None) as writers:
        scalars.put(19, {"lr": 0.1}, smoothed=False)
        writers.write()
        scalars.put(19, {"bbox/AP": 2.0}, smoothed=False)
        writers.write()
    assert read(path) == [{"iteration": 19, "lr": 0.1}, {"bbox/AP": 2.0, "iteration": 19}]


@pytest.fixture
def scalars() -> Scalars:
    filled = Scalars()
    filled.put(19, {"rank_data_time": 0.003, "data_time": 0.003})
    filled.put(19, {"total_loss": 1.83412, "loss_cls": 1.1, "loss_box_reg": 0.7})
    filled.put(18, {"time": 0.209})
    filled.put(19, {"time": 0.201})
    filled.put(19, {"lr": 0.00039962}, smoothed=False)
    return filled


def test_line_on_the_cpu(scalars):
    assert log_line(scalars, iteration=19, eta_s=754.9, max_mem_mib=None) == (
        " eta: 0:12:34  iter: 19  total_loss: 1.834  loss_cls: 1.1  loss_box_reg: 0.7    "
        "time: 0.2050  last_time: 0.2010  data_time: 0.0030  last_data_time: 0.0030   "
        "lr: 0.00039962  "
    )


def test_line_on_a_gpu_without_estimate(scalars):
    line = log_line(scalars, iteration=19, eta_s=None, max_mem_mib=4100.3)
    assert line.startswith(" iter: 19  total_loss")
    assert line.endswith("   lr: 0.00039962  max_mem: 4100M")


def test_first_line_has_no_time():
    scalars = Scalars()
    scalars.put(0, {"total_loss": 1.0})
    assert log_line(scalars, iteration=0, eta_s=None, max_mem_mib=None) == (
        " iter: 0  total_loss: 1     lr: N/A  "
    )


def test_validation_losses_have_their_own_line(scalars):
    scalars.put(19, {"validation_loss_cls": 3.0}, smoothed=False)
    assert "validation" not in log_line(scalars, iteration=19, eta_s=1, max_mem_mib=None)


def test_tensorboard_gets_the_same_numbers(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    scalars = Scalars()
    with Writers(
        scalars, metrics_file=tmp_path / "m.json", tensorboard_dir=tmp_path / "board"
    ) as writers:
        scalars.put(19, {"total_loss": 1.5})
        writers.write()
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("total_loss")] == [(19, 1.5)]


def test_a_full_disk_is_reported_once_and_survived(tmp_path, caplog):
    scalars = Scalars()
    with Writers(scalars, metrics_file=tmp_path / "m.json", tensorboard_dir=None) as writers:

        def no_space() -> None:
            raise OSError(28, "No space left on device")

        writers._metrics.flush = no_space
        for k in range(3):
            scalars.put(k, {"a": 1.0})
            writers.write()
    assert caplog.text.count("not written any more") == 1
