"""Boxes computed near likely objects against boxes computed everywhere."""

import math
from pathlib import Path

import pytest
import torch

from app.engine.config import load_config
from app.engine.cpu.nearby import NearbyRetinaNet
from app.engine.cpu.prepare import prepare_for_inference
from app.engine.cpu.winograd import WinogradConv2d
from app.engine.modeling.build import build_detector
from app.engine.structures.sample import Sample

CONFIG = Path(__file__).parents[4] / "configs" / "Base-RetinaNet.yaml"
SMALL = [
    *("MODEL.DEVICE", "cpu", "MODEL.RESNETS.DEPTH", "18", "MODEL.RESNETS.RES2_OUT_CHANNELS", "64"),
    *("MODEL.FPN.OUT_CHANNELS", "128", "MODEL.RETINANET.NUM_CONVS", "2"),
    *("MODEL.RETINANET.NUM_CLASSES", "3", "MODEL.RETINANET.TOPK_CANDIDATES_TEST", "30"),
]


def model(*opts):
    torch.manual_seed(0)
    return build_detector(load_config(CONFIG, [*SMALL, *opts])).eval()


@pytest.mark.parametrize("count", [1, 2])
def test_boxes_are_the_same_where_only_tiles_near_likely_objects_are_done(count, monkeypatch):
    ready = prepare_for_inference(model("MODEL.RETINANET.SCORE_THRESH_TEST", "0.001"))
    assert type(ready) is NearbyRetinaNet
    samples = [Sample(torch.randint(0, 256, (3, 352, 320)).byte(), (352, 320))] * count
    found, asked = [], []
    for near in (WinogradConv2d.near, lambda conv, x, cells: asked.append(cells) or conv(x)):
        monkeypatch.setattr(WinogradConv2d, "near", near)
        found.append(ready.detect(samples))
    assert 0 < asked[0].float().mean() < 0.8
    for sparse, dense in zip(*found, strict=True):
        assert len(sparse)
        assert torch.equal(sparse.scores, dense.scores)
        torch.testing.assert_close(sparse.boxes, dense.boxes, atol=1e-3, rtol=0)


def test_pairs_below_the_threshold_ask_for_nothing(monkeypatch):
    ready = prepare_for_inference(model("MODEL.RETINANET.SCORE_THRESH_TEST", "1.0"))
    asked, near = [], WinogradConv2d.near
    monkeypatch.setattr(
        WinogradConv2d, "near", lambda conv, x, cells: asked.append(cells) or near(conv, x, cells)
    )
    ready.detect([Sample(torch.zeros(3, 320, 320).byte(), (320, 320))])
    assert not any(bool(cells.any()) for cells in asked)


def test_a_tower_with_norms_sees_all_cells(monkeypatch):
    ready = prepare_for_inference(model("MODEL.RETINANET.NORM", "GN"))
    monkeypatch.setattr(WinogradConv2d, "near", None)
    assert len(ready.detect([Sample(torch.zeros(3, 64, 64).byte(), (64, 64))])) == 1


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_scores_just_above_the_threshold_get_their_boxes(threshold, monkeypatch):
    plain = model("MODEL.RETINANET.SCORE_THRESH_TEST", str(threshold))
    torch.nn.init.normal_(plain.head.cls_score.weight, std=1e-3)
    torch.nn.init.constant_(plain.head.cls_score.bias, math.log(threshold / (1 - threshold)))
    ready = prepare_for_inference(plain)
    sample = Sample(torch.randint(0, 256, (3, 320, 320)).byte(), (320, 320))
    ways = []
    for near in (WinogradConv2d.near, lambda conv, x, cells: conv(x)):
        monkeypatch.setattr(WinogradConv2d, "near", near)
        ways.append(ready.detect([sample])[0])
    found, expected = ways
    assert len(found)
    torch.testing.assert_close(found.boxes, expected.boxes, atol=1e-3, rtol=0)
