import pytest
import torch
import torchvision

from app.engine.layers.nms import batched_nms, batched_nms_of_images, nms_of_sorted_groups


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


@pytest.mark.parametrize("sizes", [[40, 25, 0, 7], [0], [3]], ids=str)
def test_sorted_groups_give_what_classes_give(sizes):
    torch.manual_seed(0)
    count = sum(sizes)
    corners = torch.rand(count, 2) * 40
    boxes = torch.cat((corners, corners + 5 + 10 * torch.rand(count, 2)), dim=1)
    # Equal scores too.
    scores = torch.cat([(torch.rand(n) * 8).floor().sort(descending=True)[0] for n in sizes])
    groups = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    for limit in (5, count + 1):
        expected = batched_nms(boxes, scores, groups, 0.5, limit=limit)
        found = nms_of_sorted_groups(boxes, scores, sizes, 0.5, limit=limit)
        assert torch.equal(found, expected)
