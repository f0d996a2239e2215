"""Hyper-parameters reach the engine's config, and automatic choices follow the documented rules."""

from typing import Any

import pytest

from app.engine.config import CfgNode, num_classes
from app.engine.errors import ConfigError as EngineConfigError
from app.engine.solver import rescaled
from app.tasks.args_options import EngineOptions
from app.tasks.config_file import config_path
from app.tasks.engine_config import training_config
from executor.errors import ConfigError
from executor.hyperparameters import TrainHyperparameters

LIGHT = "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml"
R50 = "configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml"


LSJ = "configs/new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ.yaml"


def make(num_images: int = 100, overrides: tuple[str, ...] = (), **settings: Any) -> CfgNode:
    hp = TrainHyperparameters(**{"class_names": ("cat", "dog"), **settings})
    options = EngineOptions(overrides=overrides)
    return training_config(hp, options, device="cpu", num_images=num_images)


def test_classes_set_every_head() -> None:
    cfg = make(class_names=("a", "b", "c"))
    assert cfg.MODEL.CLASS_NAMES == ["a", "b", "c"]
    assert num_classes(cfg) == cfg.MODEL.ROI_HEADS.NUM_CLASSES == 3
    assert cfg.is_frozen()


@pytest.mark.parametrize(
    ("max_iter", "steps"),
    [
        pytest.param(90000, (60000, 80000), id="as the config file plans"),
        pytest.param(9000, (6000, 8000), id="a tenth"),
        pytest.param(3, (2,), id="steps that fall together count once"),
    ],
)
def test_decay_steps_scale_with_max_iter(max_iter: int, steps: tuple[int, ...]) -> None:
    cfg = make(config_file=R50, max_iter=max_iter)
    assert max_iter == cfg.SOLVER.MAX_ITER
    assert tuple(sorted(set(cfg.SOLVER.STEPS)))[: len(steps)] == steps
    assert max_iter > cfg.SOLVER.WARMUP_ITERS


def test_minutes_leave_the_length_to_the_time() -> None:
    cfg = make(config_file=R50, max_iter=0, max_minutes=2.5)
    solver = cfg.SOLVER
    assert (solver.MAX_MINUTES, solver.MAX_ITER) == (2.5, 100_000_000)
    assert (cfg.TEST.EVAL_SHARE, cfg.TEST.EVAL_PERIOD) == (0.1, 0)
    fitted = rescaled(cfg, 9000).SOLVER
    planned = make(config_file=R50, max_iter=9000).SOLVER
    for key in ("MAX_ITER", "STEPS", "WARMUP_ITERS"):
        assert fitted[key] == planned[key]


def test_minutes_and_a_number_and_a_period() -> None:
    cfg = make(config_file=R50, max_iter=9000, max_minutes=5, eval_period=100)
    assert (cfg.SOLVER.MAX_MINUTES, cfg.SOLVER.MAX_ITER) == (5, 9000)
    assert cfg.SOLVER.STEPS == (6000, 8000)
    assert (cfg.TEST.EVAL_SHARE, cfg.TEST.EVAL_PERIOD) == (0.0, 100)


def test_steps_that_somebody_asks_for_stay() -> None:
    asked = ("SOLVER.STEPS", "(60, 80)", "SOLVER.WARMUP_ITERS", "7")
    solver = make(config_file=R50, max_iter=100, overrides=asked).SOLVER
    assert (tuple(solver.STEPS), solver.WARMUP_ITERS) == ((60, 80), 7)


@pytest.mark.parametrize(
    ("num_images", "batch_size", "expected"),
    [
        pytest.param(1, 2, 150, id="one image: 300 passes at most"),
        pytest.param(100, 2, 1800, id="36 passes"),
        pytest.param(20, 2, 1000, id="few images: at least 1000 iterations"),
        pytest.param(118_000, 16, 90_000, id="COCO: as many images as the config file plans"),
    ],
)
def test_max_iter_zero_chooses(num_images: int, batch_size: int, expected: int) -> None:
    cfg = make(num_images, config_file=R50, max_iter=0, batch_size=batch_size)
    assert expected == cfg.SOLVER.MAX_ITER


def test_learning_rate_zero_scales_with_the_batch() -> None:
    assert (
        pytest.approx(0.01 * 4 / 16)
        == make(config_file=R50, learning_rate=0, batch_size=4).SOLVER.BASE_LR
    )


def test_ten_evaluations_unless_asked() -> None:
    assert make(max_iter=95).TEST.EVAL_PERIOD == 10
    assert make(max_iter=95, eval_period=7).TEST.EVAL_PERIOD == 7


@pytest.mark.parametrize(
    ("amp", "gains", "enabled", "dtype"),
    [
        pytest.param("auto", False, False, "auto", id="auto where nothing is gained"),
        pytest.param("auto", True, True, "auto", id="auto where it is faster"),
        pytest.param("bf16", False, True, "bfloat16", id="bf16 whatever is gained"),
        pytest.param("off", True, False, "auto", id="off"),
    ],
)
def test_amp(amp: str, gains: bool, enabled: bool, dtype: str) -> None:
    hp = TrainHyperparameters(class_names=("cat",), amp=amp)
    cfg = training_config(
        hp, EngineOptions(), device="cpu", num_images=9, gains_by_mixed_precision=gains
    )
    assert (enabled, dtype) == (cfg.SOLVER.AMP.ENABLED, cfg.SOLVER.AMP.DTYPE)


def test_image_size_keeps_the_share_of_the_longer_side() -> None:
    cfg = make(config_file=R50, image_size=400)
    assert cfg.INPUT.MIN_SIZE_TRAIN == (400,)
    assert (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST) == (400, 666)


@pytest.mark.parametrize(
    ("asked", "size"), [pytest.param(0, 1024, id="as it is"), pytest.param(320, 320, id="smaller")]
)
def test_image_size_is_that_of_jittered_images_too(asked: int, size: int) -> None:
    cfg = make(config_file=LSJ, image_size=asked)
    assert cfg.INPUT.LSJ.ENABLED
    assert list(cfg.INPUT.LSJ.SIZE) == [size, size]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("configs/COCO-Detection/retinanet_R_50_FPN_2x.yaml", "FPN_3x", id="misspelt"),
        pytest.param("/etc/passwd", "outside", id="elsewhere"),
        pytest.param(
            "COCO-Detection/retinanet_R_50_FPN_1x.yaml",
            "did you mean 'configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml'",
            id="as detectron2's model zoo names it",
        ),
        pytest.param("configs/../../../etc/passwd", "outside", id="escape"),
        pytest.param("configs/nothing-like-it", "did you mean", id="far off"),
    ],
)
def test_wrong_config_file(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config_path(name)


def test_wrong_keys_are_told_where_the_user_wrote_them() -> None:
    with pytest.raises(EngineConfigError, match=r"^args_options: .* did you mean SOLVER.MOMENTUM"):
        make(overrides=("SOLVER.MOMENTUMM", "0.9"))


@pytest.mark.parametrize(
    ("config_file", "words"),
    [pytest.param(R50, "at [60, 80]", id="steps"), pytest.param(LIGHT, "a cosine", id="cosine")],
)
def test_the_log_tells_the_decay(
    config_file: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    make(config_file=config_file, max_iter=90)
    assert words in caplog.text
