"""Classes of a data set get the numbers of a model's classes, by name, in all records."""

import numpy as np
import pytest
from PIL import Image

from app.engine.data.datasets.concatenate import concatenate
from app.engine.data.datasets.dataset import Dataset
from app.engine.data.datasets.renumber import Names, names_of, renumbered
from app.engine.data.loading.ground_truth import semantic_labels
from app.engine.errors import DatasetError


def record(make_record, classes, **fields):
    """One object of each class, each with a box, a mask and an area of its own."""
    return make_record(
        [[k, 0, k + 9, 9] for k in range(len(classes))],
        classes,
        crowd=np.arange(len(classes)) % 2 == 1,
        segmentations=[
            [np.array([k, 0, k + 9, 0, k, 9], dtype=float)] for k in range(len(classes))
        ],
        extra={"areas": np.arange(len(classes)) + 10.0, **fields},
    )


def test_everything_of_an_object_goes_with_its_class(make_record) -> None:
    lvis = {"neg_classes": [0, 2], "not_exhaustive_classes": [1]}
    data = Dataset(
        [record(make_record, [0, 1, 2], **lvis), make_record([])],
        ["dog", "bird", "cat"],
        [3, 5, 9],
        frequencies=["r", "c", "f"],
        evaluation="lvis",
    )
    found = renumbered(data, Names(["cat", "cow", "dog"]), title="x")
    first, second = found.records
    assert first.classes.tolist() == [2, 0]
    assert first.boxes[:, 0].tolist() == [0, 2]
    assert first.crowd.tolist() == [False, False]
    assert [mask[0][0] for mask in first.segmentations] == [0, 2]
    assert first.extra["areas"].tolist() == [10, 12]
    assert first.extra["neg_classes"] == [2, 0]
    assert first.extra["not_exhaustive_classes"] == []
    assert len(second) == 0
    assert found.class_names == ["cat", "cow", "dog"]
    assert (found.category_ids[0], found.category_ids[2]) == (9, 3)
    assert found.category_ids[1] not in (3, 5, 9)
    assert found.absent == {1}
    assert found.frequencies == ["f", "f", "r"]


@pytest.mark.parametrize(
    ("used", "asked", "classes"),
    [
        pytest.param(["a", "b"], ["a", "b"], [0, 1], id="the same"),
        pytest.param(["b", "a"], ["a", "b"], [1, 0], id="another order"),
        pytest.param([" b", "A "], ["a", "b"], [1, 0], id="blanks and case"),
        pytest.param(["A", "a"], ["a", "A"], [1, 0], id="case tells two classes apart"),
        pytest.param(["u\u0308", "x"], ["x", "\u00fc"], [1, 0], id="composed and decomposed"),
        pytest.param(["b", "a"], [], [0, 1], id="a model without names"),
        pytest.param(["a", "a"], ["a", "a"], [0, 1], id="one name twice, but in the same order"),
    ],
)
def test_names_are_compared_as_people_read_them(make_record, used, asked, classes) -> None:
    found = renumbered(
        Dataset([make_record([[0, 0, 9, 9]] * 2, [0, 1])], used), Names(asked), title="x"
    )
    assert found.records[0].classes.tolist() == classes


@pytest.mark.parametrize(
    ("used", "asked", "options", "sentence"),
    [
        pytest.param(["a"], ["b"], {}, "it has a; it lacks b", id="no class in common"),
        pytest.param(["a", "c"], ["a"], {"strict": True}, "of the model .it has c", id="one more"),
        pytest.param(["a"], ["a", "c"], {"strict": True}, "it lacks c", id="one less"),
    ],
)
def test_other_classes_are_refused(make_record, used, asked, options, sentence) -> None:
    with pytest.raises(DatasetError, match=sentence):
        renumbered(Dataset([make_record()], used), Names(asked), title="x", **options)


@pytest.mark.parametrize("evaluation", ["panoptic", "cityscapes"])
def test_some_rules_know_one_list_of_classes_only(make_record, evaluation) -> None:
    data = Dataset([make_record()], ["a", "b"], evaluation=evaluation)
    with pytest.raises(DatasetError):
        renumbered(data, Names(["a", "c"]), title="x")


def test_keypoints_of_another_order(make_record) -> None:
    points = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    data = Dataset(
        [make_record(keypoints=points), make_record([])], ["a"], keypoint_names=("x", "y", "z")
    )
    found = renumbered(data, Names(["a"], ["z", "X", "y"]), title="x")
    assert found.records[0].keypoints[0, :, 0].tolist() == [6, 0, 3]
    assert found.keypoint_names == ("z", "X", "y")
    with pytest.raises(
        DatasetError, match=r"keypoints are not those of the model .it has X; it lacks w"
    ):
        renumbered(found, Names(["a"], ["z", "w", "y"]), title="x")


def test_label_maps_of_another_order(make_record, tmp_path) -> None:
    Image.fromarray(np.array([[0, 1, 2, 255]], dtype=np.uint8)).save(tmp_path / "labels.png")
    data = Dataset(
        [make_record(extra={"sem_seg_path": tmp_path / "labels.png"})],
        ["a"],
        [1],
        stuff_names=["things", "sky", "sea"],
        stuff_ids=[30, 20],
    )
    assert semantic_labels(data.records[0]).tolist() == [[0, 1, 2, 255]]
    found = renumbered(data, Names(stuff=["things", "sea", "sky"]), title="x")
    assert semantic_labels(found.records[0]).tolist() == [[0, 2, 1, 255]]
    assert found.stuff_ids == [20, 30]
    assert found.stuff_names == ["things", "sea", "sky"]
    with pytest.raises(DatasetError, match="label maps are not those"):
        renumbered(data, Names(stuff=["things", "sky"]), title="x")
    with pytest.raises(DatasetError, match="label 0 must be 'sky'"):
        renumbered(data, Names(stuff=["sky", "things", "sea"]), title="x")


def test_several_sets_have_the_order_of_the_first(make_record) -> None:
    one = Dataset([make_record(classes=[0])], ["a", "b"], [1, 2])
    two = Dataset([make_record(classes=[0])], ["b", "a"], [1, 2])
    both = concatenate([one, two], ["one", "two"])
    assert [record.classes.tolist() for record in both.records] == [[0], [1]]
    assert both.category_ids == [1, 2]
    assert names_of(both).classes == ["a", "b"]
    with pytest.raises(DatasetError, match="three: its classes are not those of one"):
        concatenate([one, Dataset([], ["a"])], ["one", "three"])
    with pytest.raises(DatasetError, match="two has no keypoints, but one has"):
        concatenate([Dataset([], ["a"], keypoint_names=("x",)), Dataset([], ["a"])], ["one", "two"])
