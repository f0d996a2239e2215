from pathlib import Path

import pytest
import torch
from torch import nn

from app.engine.checkpoint import load_weights
from app.engine.checkpoint.class_rows import map_class_rows, same_classes

OLD = ["cat", "dog", "cow"]
NEW = ["Cow", "bird", "cat"]


def rows(key: str, file: list[float], model_rows: int, new: list[str] = NEW) -> list[float]:
    return map_class_rows(
        key,
        torch.tensor(file),
        torch.full((model_rows,), -1.0),
        file_classes=OLD,
        model_classes=new,
    ).tolist()


def test_scores_keep_their_class_and_the_background():
    found = rows("roi_heads.box_predictor.cls_score.bias", [0.0, 1.0, 2.0, 9.0], 4)

    assert found == [2.0, -1.0, 0.0, 9.0]


def test_boxes_move_four_rows_at_a_time():
    found = rows("roi_heads.box_predictor.1.bbox_pred.bias", [*map(float, range(12))], 12)

    assert found == [8, 9, 10, 11, -1, -1, -1, -1, 0, 1, 2, 3]


def test_masks_move_a_row_at_a_time():
    assert rows("roi_heads.mask_head.predictor.bias", [0.0, 1.0, 2.0], 3) == [2.0, -1.0, 0.0]


def test_every_anchor_of_retinanet_moves_alike():
    found = rows("head.cls_score.bias", [0.0, 1.0, 2.0, 10.0, 11.0, 12.0], 6)

    assert found == [2.0, -1.0, 0.0, 12.0, -1.0, 10.0]


def test_lists_of_another_length():
    found = rows("head.cls_score.bias", [0.0, 1.0, 2.0, 10.0, 11.0, 12.0], 2, new=["dog"])

    assert found == [1.0, 11.0]


@pytest.mark.parametrize(
    ("key", "file", "model_rows"),
    [
        pytest.param("backbone.conv.bias", [0.0, 1.0, 2.0], 3, id="no classes"),
        pytest.param("head.bbox_pred.bias", [0.0, 1.0, 2.0], 3, id="boxes of RetinaNet"),
        pytest.param("box_predictor.bbox_pred.bias", [0.0, 1.0, 2.0, 3.0], 4, id="agnostic boxes"),
        pytest.param("mask_head.predictor.bias", [0.0], 1, id="agnostic masks"),
    ],
)
def test_other_tensors_stay(key: str, file: list[float], model_rows: int):
    assert rows(key, file, model_rows) == file


def test_weights_keep_their_other_dimensions():
    file = torch.arange(3.0)[:, None, None, None].expand(3, 2, 1, 1)
    found = map_class_rows(
        "head.cls_score.weight",
        file,
        torch.zeros(3, 2, 1, 1),
        file_classes=OLD,
        model_classes=["dog", "x", "y"],
    )

    assert found.shape == (3, 2, 1, 1)
    assert found[:, 0, 0, 0].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(["Cat", " dog ", "cow"], True, id="case and blanks"),
        pytest.param(["cat", "do\u200bg", "cow"], True, id="what cannot be seen"),
        pytest.param(["dog", "cat", "cow"], False, id="another order"),
        pytest.param(["cat"], False, id="another number"),
    ],
)
def test_same_classes(other: list[str], same: bool):
    assert same_classes(OLD, other) == same


class Head(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Module()
        self.head.cls_score = nn.Conv2d(1, num_classes, 1)
        self.body = nn.Conv2d(1, 1, 1)


@pytest.mark.parametrize("told", [True, False], ids=["told by the caller", "told by the file"])
def test_fine_tuning_with_another_list(
    tmp_path: Path, told: bool, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    old, new = Head(3), Head(2)
    content = {"model": old.state_dict(), **({} if told else {"class_names": OLD})}
    torch.save(content, tmp_path / "m.pth")
    fresh = new.head.cls_score.weight.detach().clone()

    report = load_weights(
        new,
        tmp_path / "m.pth",
        class_names=["bird", "dog"],
        file_class_names=OLD if told else None,
    )

    assert torch.equal(new.head.cls_score.weight[1], old.head.cls_score.weight[1])
    assert torch.equal(new.head.cls_score.weight[0], fresh[0])
    assert torch.equal(new.body.weight, old.body.weight)
    assert not report.mismatched
    assert "kept ['dog']; new ['bird']; dropped ['cat', 'cow']" in caplog.text


def test_the_same_list_in_another_order_is_mapped_too(tmp_path: Path):
    old, new = Head(2), Head(2)
    torch.save({"model": old.state_dict(), "class_names": ["a", "b"]}, tmp_path / "m.pth")

    load_weights(new, tmp_path / "m.pth", class_names=["b", "a"])

    assert torch.equal(new.head.cls_score.weight, old.head.cls_score.weight.flip(0))


def test_unknown_lists_of_another_length_are_reported(tmp_path: Path):
    torch.save({"model": Head(3).state_dict()}, tmp_path / "m.pth")

    report = load_weights(Head(2), tmp_path / "m.pth", class_names=["a", "b"])

    assert [key for key, _, _ in report.mismatched] == [
        "head.cls_score.weight",
        "head.cls_score.bias",
    ]
