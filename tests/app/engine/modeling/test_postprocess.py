import torch

from app.engine.modeling.postprocess import to_original
from app.engine.structures.detections import Detections


def _detections(boxes, **fields):
    boxes = torch.tensor(boxes).reshape(-1, 4)
    n = len(boxes)
    return Detections((50, 100), boxes, torch.rand(n), torch.zeros(n, dtype=torch.int64), **fields)


def test_each_axis_has_its_own_scale():
    found = to_original(_detections([[10.0, 10.0, 20.0, 30.0]]), (50, 100), (100, 50))
    assert found.image_size == (100, 50)
    assert found.boxes.tolist() == [[5.0, 20.0, 10.0, 60.0]]


def test_boxes_are_clipped_and_empty_ones_dropped():
    boxes = [[-5.0, -5.0, 200.0, 200.0], [120.0, 0.0, 130.0, 10.0], [5.0, 5.0, 5.0, 9.0]]
    found = to_original(_detections(boxes), (50, 100), (50, 100))
    assert found.boxes.tolist() == [[0.0, 0.0, 100.0, 50.0]]
    assert len(found.scores) == len(found.classes) == 1


def test_keypoints_are_scaled_but_not_clipped():
    keypoints = torch.tensor([[[-2.0, 4.0, 0.5], [200.0, 90.0, 0.25]]])
    found = to_original(
        _detections([[0.0, 0.0, 9.0, 9.0]], keypoints=keypoints), (50, 100), (100, 200)
    )
    assert found.keypoints.tolist() == [[[-4.0, 8.0, 0.5], [400.0, 180.0, 0.25]]]


def test_masks_are_pasted():
    found = to_original(
        _detections([[10.0, 10.0, 20.0, 20.0]], masks=torch.ones(1, 1, 4, 4)), (50, 100), (50, 100)
    )
    assert found.masks.shape == (1, 50, 100)
    assert found.masks[0, 12:18, 12:18].all()
    assert not found.masks[0, :, 30:].any()


def test_no_detections():
    found = to_original(_detections([], masks=torch.zeros(0, 1, 4, 4)), (50, 100), (20, 30))
    assert len(found) == 0
    assert found.masks.shape == (0, 20, 30)
