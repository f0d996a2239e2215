"""model_card.md says what is known, under the names of the log, and what is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.engine.checkpoint.saved_model import SavedModel
from app.engine.config import CfgNode, load_config
from app.engine.data.formats import Reading
from app.engine.data.problems import Effect
from app.engine.data.smells.scent import Scent
from app.engine.predictor.onnx_card import OnnxCard
from app.engine.structures.record import ImageRecord
from app.places import CONFIG_ROOT
from app.tasks.model_card import ModelCard, with_forms
from app.tasks.records import ParsedSet

CLASSES = ["a|b*", "no"]
FOUND = {
    "num_objects": 3, "ap": 41.26, "ap50": 66.64, "best_f1": 0.756, "best_score_thresh": 0.314,
    "precision": 0.8, "recall": 0.719,
}  # fmt: skip
NOTHING = dict.fromkeys(FOUND, 0.0)


def parsed(num_images: int, *, dropped: int = 0, crowd: bool = False) -> ParsedSet:
    """Images with one object of class 0 each; the first has none."""
    reading = Reading(CLASSES)
    for number in range(dropped):
        reading.problems.add("box without area", f"{number}", Effect.DROPPED)
    records = [
        ImageRecord(
            path=Path(f"{number}.png"), height=9, width=9, image_id=number,
            boxes=np.ones((int(number > 0), 4), dtype=np.float32),
            classes=np.zeros(int(number > 0), dtype=np.int64),
            crowd=np.full(int(number > 0), crowd),
        )
        for number in range(num_images)
    ]  # fmt: skip
    return ParsedSet(num_images, "voc", records, reading, Scent(records, reading, is_xywh=False))


def text(
    metrics: dict[str, float],
    results: dict[str, dict[str, float]] | None = None,
    *,
    overrides: tuple[str, ...] = (),
    **fields: Any,
) -> str:
    cfg: CfgNode = load_config(
        CONFIG_ROOT / "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml", list(overrides)
    )
    card = ModelCard(
        **{
            "cfg": cfg, "config_file": "configs/x.yaml", "class_names": CLASSES, "start": "",
            "num_parameters": 1234567, "training": parsed(5, dropped=2), "validation": parsed(0),
            **fields,
        }
    )  # fmt: skip
    saved = SavedModel("best", 30, Path("model.pth"), Path("config.yaml"), metrics, results or {})
    return card.text(saved, {"mAP": 0.66644})


def rows(card: str) -> dict[str, list[str]]:
    """First cell -> the others, of all tables."""
    lines = [line[2:-2].split(" | ") for line in card.splitlines() if line.startswith("| ")]
    return {cells[0]: cells[1:] for cells in lines}


def test_results_of_each_class() -> None:
    card = text({"bbox/AP50": 66.644}, {CLASSES[0]: FOUND, CLASSES[1]: NOTHING})
    found = rows(card)
    assert found["0"] == ["a\\|b\\*", "4", "0", "41.3", "66.6", "0.31", "0.76", "0.80", "0.72"]
    assert found["1"] == ["no", "0", "0", "0.0", "0.0", "-", "-", "-", "-"]
    assert "mAP (AP50 of boxes, as in result.yaml): 0.6664." in card
    assert "threshold=0.31)" in card


def test_a_model_that_was_not_evaluated() -> None:
    card = text({})
    assert "The model was not evaluated" in card
    assert rows(card)["0"] == ["a\\|b\\*", "4", "0"]
    assert "AP50" not in card


def test_the_data_as_the_log_counts_it() -> None:
    found = rows(text({}, training=parsed(5, dropped=2), validation=parsed(2)))
    assert found["images listed"] == ["5", "2"]
    assert found["images usable, without objects"] == ["1", "1"]
    assert found["objects in the files"] == ["6", "1"]
    assert found["objects dropped: box without area"] == ["2", "0"]
    assert found["objects kept"] == ["4", "1"]


@pytest.mark.parametrize(
    ("overrides", "said", "passes"),
    [
        pytest.param((), "the 4 images with objects", "60.0 passes over 4 images", id="filtered"),
        pytest.param(
            ("DATALOADER.FILTER_EMPTY_ANNOTATIONS", "False"),
            "all 5 usable images",
            "48.0 passes over 5 images",
            id="all",
        ),
    ],
)
def test_how_long_it_was_trained(overrides: tuple[str, ...], said: str, passes: str) -> None:
    card = text({}, overrides=("SOLVER.IMS_PER_BATCH", "8", *overrides))
    assert said in card
    assert rows(card)["trained"] == [f"30 iterations of 8 images: {passes}"]


@pytest.mark.parametrize(
    ("start", "said"),
    [
        pytest.param("torchvision://mobilenet_v2-b0353104.pth", "BSD-3-Clause", id="torchvision"),
        pytest.param("detectron2://ImageNetPretrained/MSRA/R-50.pkl", "CC BY-SA 3.0", id="zoo"),
        pytest.param("/in/models/a/model.pth", "not known here", id="a user's model"),
    ],
)
def test_licences(start: str, said: str) -> None:
    card = text({}, start=start)
    assert rows(card)["started from"] == [start]
    licence = card.partition("## Licence")[2]
    assert said in licence
    assert "Left to the user" in licence


def test_random_weights_have_no_licence() -> None:
    card = text({})
    assert rows(card)["started from"] == ["random weights"]
    assert "Licence of the weights" not in card


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        pytest.param((), "channels in the order RGB", id="order"),
        pytest.param(("INPUT.MIN_SIZE_TEST", "0"), "not resized", id="any size"),
        pytest.param(("INPUT.BITS_PER_SAMPLE", "12"), "of 12 bits", id="depth"),
    ],
)
def test_the_intended_input(overrides: tuple[str, ...], said: str) -> None:
    assert said in text({}, overrides=overrides).partition("## Input")[2]


def onnx_card(**fields: Any) -> OnnxCard:
    return OnnxCard(
        class_names=("a",), architecture="RetinaNet", image_format="BGR", min_size=64, max_size=128,
        size_divisibility=32, score_thresh=0.05, **fields,
    )  # fmt: skip


def test_exported_files_with_what_was_measured() -> None:
    speed = {"ms_torch_fp32": 20.0, "threads": 2, "processor": "a chip"}
    plain = onnx_card(
        accuracy={"ap": 59.03}, agreement={"matched": 1.0}, speed={**speed, "ms_onnx_fp32": 10.0}
    )
    losses = {"ap_int8": 58.2, "ap_loss": 0.83, "ap_loss_low": -0.2, "ap_loss_high": 1.86}
    int8 = onnx_card(precision="int8", accuracy=losses, speed={**speed, "ms_onnx_int8": 4.0})
    card = text({})
    made = with_forms(card, {"model.onnx": plain})
    made = with_forms(made, {"model.onnx": plain, "model.int8.onnx": int8})
    found = rows(made)
    assert found["model.onnx"] == ["59.03", "-", "100.0%", "10.0", "20.0", "a chip, 2 threads"]
    assert found["model.int8.onnx"][:2] == ["58.20", "0.83 (-0.20 to 1.86)"]
    assert made.count("## Exported files") == made.count("## Licence") == 1
    assert made.startswith(card.partition("## Licence")[0].rstrip())
    assert made.endswith(card.partition("## Licence")[2])


def test_exported_files_without_measurements() -> None:
    made = with_forms(text({}), {"model.onnx": onnx_card()})
    assert rows(made)["model.onnx"] == ["-", "-", "-", "-", "-", "-"]
