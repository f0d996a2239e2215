import pytest
import torch
import torchvision

from app.engine.layers import nms
from app.engine.layers.nms import batched_nms, batched_nms_of_images


def _random(number: int, *, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(number, 2, generator=generator) * 60 - 10
    boxes = torch.cat((corner, corner + torch.rand(number, 2, generator=generator) * 30), dim=1)
    scores = torch.rand(number, generator=generator)
    classes = torch.randint(0, 5, (number,), generator=generator)
    return boxes, scores, classes


def _class_by_class(boxes, scores, classes, iou_threshold):
    kept = [
        index[torchvision.ops.nms(boxes[index], scores[index], iou_threshold)]
        for index in ((classes == k).nonzero()[:, 0] for k in classes.unique())
    ]
    kept = torch.cat(kept)
    return kept[scores[kept].argsort(descending=True)]


@pytest.mark.parametrize("iou_threshold", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("number", [1, 40, 1500])
def test_equals_one_class_after_the_other(number, iou_threshold):
    boxes = _random(number)
    assert torch.equal(batched_nms(*boxes, iou_threshold), _class_by_class(*boxes, iou_threshold))


def test_no_boxes():
    kept = batched_nms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), 0.5)
    assert kept.shape == (0,)
    assert kept.dtype == torch.int64


def test_far_classes_do_not_touch_however_large_the_coordinates():
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1e5, 1e5, 1e5 + 10, 1e5 + 10]])
    boxes = torch.cat((boxes, boxes))
    kept = batched_nms(
        boxes, torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([0, 0, 500, 500]), 0.5
    )
    assert kept.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("limit", [1, 10, 10_000])
def test_a_limit_gives_the_first_survivors(limit):
    boxes = _random(600)
    expected = batched_nms(*boxes, 0.5)[:limit]
    assert torch.equal(batched_nms(*boxes, 0.5, limit=limit), expected)


def _crowd(copies: int, others: int):
    """Copies of one box, the best ones, then boxes of their own; the last but one is suppressed."""
    corner = torch.arange(others) * 20.0 + 20
    boxes = torch.stack((corner, corner, corner + 10, corner + 10), dim=1)
    boxes = torch.cat((torch.tensor([[0.0, 0, 10, 10]]).repeat(copies, 1), boxes))
    if others > 1:
        boxes[-2] = boxes[-3]
    return boxes, torch.linspace(1, 0.1, len(boxes)), torch.zeros(len(boxes), dtype=torch.int64)


LOOPS = [
    pytest.param(1, 3, id="the first prefix is enough"),
    pytest.param(13, 20, id="one more prefix is needed"),
    pytest.param(13, 3, id="one more prefix, of all boxes"),
    pytest.param(60, 30, id="two more prefixes are needed"),
    pytest.param(300, 5, id="all boxes are needed"),
    pytest.param(12, 0, id="a prefix of all boxes"),
]


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize(("copies", "others"), LOOPS)
def test_crowds_do_not_stop_the_search_early(copies, others, limit):
    boxes, scores, classes = _crowd(copies, others)
    expected = torchvision.ops.nms(boxes, scores, 0.5)[:limit]
    assert torch.equal(batched_nms(boxes, scores, classes, 0.5, limit=limit), expected)
    several = (torch.stack((t, t.flip(0))) for t in (boxes, scores, classes))
    image, kept = batched_nms_of_images(*several, 0.5, limit=limit)
    assert torch.equal(kept[image == 0], expected)
    assert len(kept[image == 1]) == len(expected)


@pytest.mark.parametrize("crowded", [0, 1])
def test_one_crowded_image_makes_the_search_go_on(crowded):
    alone, easy = _crowd(60, 30), _crowd(1, 89)
    images = [alone, easy] if crowded == 0 else [easy, alone]
    boxes, scores, classes = (torch.stack(column) for column in zip(*images, strict=True))
    image, kept = batched_nms_of_images(boxes, scores, classes, 0.5, limit=3)
    for i, of_image in enumerate(images):
        assert torch.equal(kept[image == i], batched_nms(*of_image, 0.5, limit=3))


@pytest.mark.parametrize(
    ("copies", "expected"),
    [
        pytest.param(1, [12], id="enough at once"),
        pytest.param(12, [12, 48], id="enough in the second prefix"),
        pytest.param(90, [12, 48, 120], id="all boxes in the end"),
    ],
)
def test_no_more_boxes_are_compared_than_needed(copies, expected, monkeypatch):
    sizes, compared = [], []
    whole = nms.nms_sorted
    monkeypatch.setattr(nms, "nms_sorted", lambda b, t: sizes.append(len(b)) or whole(b, t))
    crowd = _crowd(copies, 120 - copies)
    batched_nms(*crowd, 0.5, limit=3)
    assert sizes == expected
    prefixes = nms._nms_of_prefixes
    monkeypatch.setattr(
        nms, "_nms_of_prefixes", lambda b, *a: compared.append(b.shape[1]) or prefixes(b, *a)
    )
    batched_nms_of_images(*(t[None] for t in crowd), 0.5, limit=3)
    assert compared == expected


def test_an_image_that_has_ended_is_not_searched_on(monkeypatch):
    boxes, scores, classes = (t[None] for t in _crowd(12, 100))
    scores[0, 12:] = -torch.inf
    compared = []
    prefixes = nms._nms_of_prefixes
    monkeypatch.setattr(
        nms, "_nms_of_prefixes", lambda b, *a: compared.append(b.shape[1]) or prefixes(b, *a)
    )
    _, kept = batched_nms_of_images(boxes, scores, classes, 0.5, limit=3)
    assert kept.tolist() == [0]
    assert compared == [12]


def test_equal_scores_keep_their_order():
    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0]]).repeat(6, 1)
    classes = torch.arange(6)
    assert batched_nms(boxes, torch.full((6,), 0.5), classes, 0.5).tolist() == list(range(6))


def test_overlap_equal_to_the_threshold_stays():
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 5.0]])
    assert len(batched_nms(boxes, torch.tensor([0.9, 0.8]), torch.tensor([0, 0]), 0.5)) == 2


@pytest.mark.parametrize("limit", [3, 50])
def test_a_batch_equals_its_images(limit):
    images = [_random(n, seed=n) for n in (90, 0, 1, 40)]
    width = max(len(scores) for _, scores, _ in images)
    boxes = torch.zeros(4, width, 4)
    scores = torch.full((4, width), -torch.inf)
    classes = torch.zeros(4, width, dtype=torch.int64)
    for i, (b, s, c) in enumerate(images):
        boxes[i, : len(s)], scores[i, : len(s)], classes[i, : len(s)] = b, s, c
    image, kept = batched_nms_of_images(boxes, scores, classes, 0.5, limit=limit)
    assert image.tolist() == sorted(image.tolist())
    for i, alone in enumerate(images):
        assert torch.equal(kept[image == i], batched_nms(*alone, 0.5, limit=limit))


def test_a_batch_without_candidates():
    image, kept = batched_nms_of_images(
        torch.zeros(2, 0, 4), torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.int64), 0.5, limit=5
    )
    assert (len(image), len(kept)) == (0, 0)
