from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.engine.config import get_config, load_config
from app.engine.errors import ConfigError
from app.engine.modeling.build import build_detector
from app.engine.modeling.meta_arch._dense_filter import best_pairs, by_anchor
from app.engine.structures.sample import Sample
from app.engine.structures.targets import GroundTruth

CONFIG = Path(__file__).parents[5] / "configs" / "Base-RetinaNet.yaml"


def _build(*opts):
    small = ["MODEL.RESNETS.DEPTH", "18", "MODEL.RESNETS.RES2_OUT_CHANNELS", "64"]
    small += ["MODEL.FPN.OUT_CHANNELS", "32", "MODEL.RETINANET.NUM_CONVS", "2"]
    return build_detector(load_config(CONFIG, ["MODEL.DEVICE", "cpu", *small, *opts]))


def test_a_fresh_model_gives_every_class_the_prior_probability():
    model = _build()
    bias = model.head.cls_score.bias
    torch.testing.assert_close(bias.sigmoid(), torch.full_like(bias, 0.01))
    assert len(bias) == 9 * 80


def test_seeded_initialisation_draws_as_detectron2_does():
    torch.manual_seed(7)
    # Recorded from detectron2 with the same seed and sizes.
    state = _build("MODEL.RETINANET.NUM_CONVS", "4").state_dict()
    for name, expected in {
        "backbone.fpn_lateral3.weight": 0.6274002185,
        "backbone.top_block.p6.weight": -3.5056296460,
        "backbone.bottom_up.res5.1.conv2.weight": 15.7253822271,
        "head.cls_subnet.6.weight": -0.4737891962,
        "head.bbox_pred.weight": -0.4905424189,
        "head.cls_score.weight": -5.9187506346,
    }.items():
        assert state[name].double().sum().item() == pytest.approx(expected), name


@pytest.mark.parametrize(
    ("opts", "shape"),
    [
        pytest.param([], (32, 32, 3, 3), id="as wide as the pyramid"),
        pytest.param(["MODEL.RETINANET.CONV_DIM", "16"], (16, 32, 3, 3), id="narrower"),
    ],
)
def test_width_of_the_towers(opts, shape):
    head = _build(*opts).head
    assert head.cls_subnet[0].weight.shape == shape
    assert head.bbox_pred.weight.shape[1] == shape[0]


@pytest.mark.parametrize("norm", ["GN", "BN", "SyncBN", "FrozenBN"])
def test_norms_of_the_towers(norm):
    model = _build("MODEL.RETINANET.NORM", norm, "MODEL.RETINANET.CONV_DIM", "64")
    sample = Sample(
        torch.randint(0, 256, (3, 64, 64)).byte(),
        (64, 64),
        GroundTruth(torch.tensor([[8.0, 8.0, 40.0, 40.0]]), torch.tensor([5])),
    )
    losses = model.train().losses([sample, sample])
    torch.stack(list(losses.values())).sum().backward()
    assert len(model.eval().detect([sample])) == 1
    names = {name for name in model.state_dict() if name.startswith("head.cls_subnet.1.")}
    assert "head.cls_subnet.1.weight" in names
    assert ("head.cls_subnet.1.4.running_mean" in names) == (norm in ("BN", "SyncBN"))


@pytest.mark.parametrize("kind", ["giou", "diou", "ciou", "smooth_l1"])
def test_box_losses(kind):
    model = _build("MODEL.RETINANET.BBOX_REG_LOSS_TYPE", kind)
    gt = GroundTruth(torch.tensor([[8.0, 8.0, 40.0, 40.0]]), torch.tensor([5]))
    loss = model.losses([Sample(torch.zeros(3, 64, 64), (64, 64), gt)])["loss_box_reg"]
    assert loss > 0


def test_labels_of_anchors():
    model = _build()
    anchors = torch.tensor(
        [
            [0.0, 0.0, 10.0, 10.0],  # IoU 1: the object
            [0.0, 0.0, 10.0, 4.5],  # 0.45: left out
            [0.0, 0.0, 10.0, 1.0],  # 0.1: background
            [50.0, 50.0, 58.0, 60.0],  # the best one of the second object, however little
        ]
    )
    gt = GroundTruth(
        torch.tensor([[0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 52.0, 60.0]]), torch.tensor([7, 9])
    )
    classes, index = model.label_anchors(gt, anchors)
    assert classes.tolist() == [7, -1, 80, 9]
    assert index[[0, 3]].tolist() == [0, 1]


def test_the_anchor_is_the_slow_channel_index():
    maps = torch.arange(2 * 6 * 2 * 3.0).view(2, 6, 2, 3)  # 3 anchors of 2 values
    flat = by_anchor(maps, 2)
    assert flat.shape == (2, 2 * 3 * 3, 2)
    for y, x, a in ((0, 0, 0), (0, 1, 2), (1, 2, 1)):
        assert torch.equal(flat[1, (y * 3 + x) * 3 + a], maps[1, 2 * a : 2 * a + 2, y, x])


@pytest.mark.parametrize(
    ("topk", "expected"),
    [
        pytest.param(1, [[5], [4]], id="only the best"),
        pytest.param(3, [[5, 3, 1], [4, 5, 2]], id="several of one anchor"),
        pytest.param(10, [[5, 3, 1, 4, 2, 0], [4, 5, 2, 3, 1, 0]], id="all"),
    ],
)
def test_best_pairs(topk, expected):
    scores = torch.tensor([[0, 0.5, 0.1, 0.7, 0.2, 0.9], [0.0, 0.1, 0.25, 0.2, 0.6, 0.3]])
    found = best_pairs(scores.view(2, 3, 2), topk)
    assert (found.anchors * 2 + found.classes).tolist() == expected
    assert torch.equal(found.scores, scores.gather(1, torch.tensor(expected)))


@pytest.mark.parametrize("threshold", ["0.0", "1.0"])
def test_any_threshold_works(threshold):
    model = _build("MODEL.RETINANET.SCORE_THRESH_TEST", threshold)
    (found,) = model.eval().detect([Sample(torch.zeros(3, 64, 64), (64, 64))])
    assert (len(found) > 0) == (float(threshold) < 1)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        pytest.param("MODEL.RETINANET.IN_FEATURES", ["p3", "p9"], "p3, p4", id="unknown map"),
        pytest.param(
            "MODEL.ANCHOR_GENERATOR.SIZES",
            [[32], [64], [128], [256], [512, 640]],
            "share one head",
            id="levels of different anchors",
        ),
        pytest.param("MODEL.RETINANET.NORM", "Batch", "NORM", id="norm"),
    ],
)
def test_wrong_keys_are_refused(key, value, words):
    cfg = get_config()
    cfg.merge_from_file(CONFIG)
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", key, value])
    with pytest.raises(ConfigError, match=words):
        build_detector(cfg)


def _spread_scores(model):
    """Random scores all over (0, 1)."""
    torch.manual_seed(3)
    torch.nn.init.normal_(model.head.cls_score.weight, std=0.5)
    torch.nn.init.normal_(model.head.cls_score.bias, std=0.5)
    return model.eval()


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.7, 0.95])
def test_the_threshold_is_one_of_scores(threshold):
    """Suppression looks at better boxes only: a higher threshold cuts the list off."""
    opts = ["MODEL.RETINANET.NUM_CLASSES", "2", "TEST.DETECTIONS_PER_IMAGE", "5000"]
    opts += ["MODEL.RETINANET.TOPK_CANDIDATES_TEST", "5000"]
    sample = Sample(torch.randint(0, 256, (3, 64, 64)).byte(), (64, 64))
    model = _spread_scores(_build(*opts, "MODEL.RETINANET.SCORE_THRESH_TEST", "0.0"))
    (everything,) = model.detect([sample])
    assert everything.scores.min() < 0.05
    assert everything.scores.max() > 0.95
    above = everything.scores > threshold
    # The worst one above stays, and goes with a threshold that equals its score.
    worst = float(everything.scores[above].min())
    for limit, expected in ((threshold, above), (worst, everything.scores > worst)):
        model.detection_filter = replace(model.detection_filter, score_thresh=limit)
        (found,) = model.detect([sample])
        assert torch.equal(found.scores, everything.scores[expected])
        assert torch.equal(found.boxes, everything.boxes[expected])
