"""torchvision's SSD300-VGG16 and SSDLite320-MobileNetV3 under the engine's names.

Both count the background as class 0, which the engine has last: at each prior, K + 1 rows.
"""

import re
from collections.abc import Callable, Sequence

from torch import Tensor

from app.engine.checkpoint.match import Rule, renamed_weights

State = dict[str, Tensor]

_BODY = "backbone.bottom_up.features"


def _counted_from(start: int) -> Callable[[re.Match[str]], str]:
    """A layer of the body whose number in the file counts from the body's layer `start`."""
    return lambda match: f"{_BODY}.{start + int(match[1])}."


def _one_less(match: re.Match[str]) -> str:
    return f"backbone.extra.{int(match[1]) - 1}."


_SSD: Sequence[Rule] = (
    (r"^backbone\.features\.", f"{_BODY}."),
    # The first of the extra layers holds what SSD makes of VGG's last ones, from pool4 on.
    (r"^backbone\.extra\.0\.7\.(\d+)\.", _counted_from(30)),
    (r"^backbone\.extra\.0\.(\d+)\.", _counted_from(23)),
    (r"^backbone\.extra\.(\d+)\.", _one_less),
    (r"^head\.classification_head\.module_list\.", "head.cls_score."),
    (r"^head\.regression_head\.module_list\.", "head.bbox_pred."),
)

_SSDLITE: Sequence[Rule] = (
    # Layer 13 is cut in two, behind its first convolution.
    (r"^backbone\.features\.0\.13\.", f"{_BODY}.13.block.0."),
    (r"^backbone\.features\.0\.", f"{_BODY}."),
    (r"^backbone\.features\.1\.0\.", f"{_BODY}.13.block."),
    (r"^backbone\.features\.1\.(\d+)\.", _counted_from(13)),
    (r"^head\.classification_head\.module_list\.(\d+)\.0\.", r"head.cls_tower.\1."),
    (r"^head\.classification_head\.module_list\.(\d+)\.1\.", r"head.cls_score.\1."),
    (r"^head\.regression_head\.module_list\.(\d+)\.0\.", r"head.bbox_tower.\1."),
    (r"^head\.regression_head\.module_list\.(\d+)\.1\.", r"head.bbox_pred.\1."),
)


def ssd(state: State) -> State:
    """Convert the weights of `ssd300_vgg16`."""
    return _converted(state, _SSD)


def ssdlite(state: State) -> State:
    """Convert the weights of `ssdlite320_mobilenet_v3_large`."""
    return _converted(state, _SSDLITE)


def _converted(state: State, rules: Sequence[Rule]) -> State:
    renamed = renamed_weights(state, rules)
    for name, tensor in renamed.items():
        if not name.startswith("head.cls_score."):
            continue
        level = name.split(".")[2]
        num_priors = len(renamed[f"head.bbox_pred.{level}.bias"]) // 4
        rows = tensor.reshape(num_priors, -1, *tensor.shape[1:])
        renamed[name] = rows.roll(-1, dims=1).flatten(0, 1)
    return renamed
