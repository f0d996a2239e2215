"""torchvision's detectors and this engine's find the same with the same weights.

The networks are narrow: ResNet-18 in place of ResNet-50, few proposals and results. Whole ones:
`python -m verification.parity.torchvision_detectors`.
"""

from dataclasses import replace

import pytest
from torchvision.models import resnet18
from torchvision.models.detection import faster_rcnn, fcos, keypoint_rcnn, mask_rcnn, retinanet

from verification.parity import torchvision_detectors as parity
from verification.parity.torchvision_detectors import PAIRS, Compared, Pair, limited

R18 = ("MODEL.RESNETS.DEPTH", "18", "MODEL.RESNETS.RES2_OUT_CHANNELS", "64")
WHOLE_BODY = ("fasterrcnn_mobilenet_v3_large_320_fpn", "retinanet_resnet50_fpn_v2")
"""The P6 of the second one is made for the channels of ResNet-50."""


def narrow(name: str) -> Pair:
    """A pair with few proposals, on ResNet-18 where torchvision allows it."""
    pair = replace(PAIRS[name], overrides=() if name in WHOLE_BODY else R18, options={})
    if "keypoint" in name:
        widths = (64,) * 7 + (512,)
        pair = replace(
            pair,
            options={"keypoint_head": keypoint_rcnn.KeypointRCNNHeads(256, widths)},
            overrides=(*pair.overrides, "MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS", str(widths)),
        )
    return limited(pair, 20, 6) if "rcnn" in name else pair


@pytest.mark.parametrize(
    "name",  # of the others each part is in one of these
    [
        "fasterrcnn_resnet50_fpn",
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        "maskrcnn_resnet50_fpn_v2",
        "keypointrcnn_resnet50_fpn",
        "retinanet_resnet50_fpn",
        "retinanet_resnet50_fpn_v2",
        "fcos_resnet50_fpn",
    ],
)
def test_detections_are_torchvisions(name: str, monkeypatch: pytest.MonkeyPatch):
    for module in (faster_rcnn, fcos, keypoint_rcnn, mask_rcnn, retinanet):
        if name not in WHOLE_BODY:
            monkeypatch.setattr(module, "resnet50", resnet18, raising=False)

    compared = parity.compare(narrow(name), ((64, 128), (100, 70)))

    assert compared.passed, str(compared)
    assert compared.found >= 5
    assert all(share > 0.99 for share in compared.others.values())


def test_the_saved_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "SAVED", tmp_path / "figures.jsonl")
    first, second = (
        Compared(name, found, found, 1e-6, 0.01, {"mask_iou": 0.99})
        for name, found in (("retinanet_resnet50_fpn", 4), ("fcos_resnet50_fpn", 3))
    )
    parity.save([first, second])
    parity.save([replace(first, matched=2)])
    assert parity.saved() == [replace(first, matched=2), second]
    assert [line.split("|")[-2].strip() for line in parity.table(parity.saved())][2:] == [
        "FAIL",
        "pass",
    ]
