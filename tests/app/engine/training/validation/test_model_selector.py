"""When a run is evaluated and which model is kept, with counts from detectron2's own tests."""

from types import SimpleNamespace

import pytest

from app.engine.config import get_config
from app.engine.data.loading.damaged import DamagedImages
from app.engine.training.state.divergence import LossHistory
from app.engine.training.state.plan import evaluated_after
from app.engine.training.state.run import Run


@pytest.mark.parametrize(
    ("max_iter", "period", "expected"),
    [
        pytest.param(30, 15, [15, 30], id="the last is one of them"),
        pytest.param(31, 15, [15, 30, 31], id="and once more at the end"),
        pytest.param(20, 0, [20], id="only at the end"),
    ],
)
def test_published_numbers_of_evaluations(max_iter, period, expected):
    cfg = get_config()
    cfg.SOLVER.MAX_ITER, cfg.TEST.EVAL_PERIOD = max_iter, period
    assert evaluated_after(SimpleNamespace(cfg=cfg, val_records=[1])) == expected
    assert evaluated_after(SimpleNamespace(cfg=cfg, val_records=[])) == []


@pytest.mark.parametrize(
    ("metrics", "kept"),
    [
        pytest.param([0.3, 0.4, 0.35, 0.5], [True, True, False, True], id="rising"),
        pytest.param([0.9, 0.9], [True, False], id="as good is not better"),
        pytest.param([0.0, -1.0], [True, False], id="nothing found is a result"),
    ],
)
def test_published_choices_of_the_best(metrics, kept):
    run = Run(None, None, None, None, None, 0, 1, LossHistory(1), DamagedImages(1))
    assert [run.accept(metric) for metric in metrics] == kept
