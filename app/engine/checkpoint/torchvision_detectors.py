"""Detectors of torchvision: files recognised by their names, brought into the engine's form.

torchvision counts the background as class 0; this engine has it last (K) where classes share a
softmax, and not at all elsewhere. C: number of torchvision's classes, K + 1; A: anchors at a cell.
"""

import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from app.engine.checkpoint.class_rows import has_class_rows
from app.engine.checkpoint.match import Rule, rename, renamed_weights, with_background_last
from app.engine.checkpoint.torchvision_ssd import ssd, ssdlite
from app.engine.errors import CheckpointError
from app.engine.structures.coco_classes import COCO_CLASSES

logger = logging.getLogger(__name__)

State = dict[str, Tensor]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One of torchvision's detectors.

    words    its name
    configs  the configs that describe it, below configs/, without suffix
    signs    regular expressions; each must match the beginning of a name
    convert  weights under torchvision's names -> weights under the engine's
    """

    words: str
    configs: tuple[str, ...]
    signs: tuple[str, ...]
    convert: Callable[[State], State]

    @property
    def files(self) -> str:
        """The configs as a text."""
        return " or ".join(f"configs/{name}.yaml" for name in self.configs)


def kind_of(names: Collection[str], path: Path) -> Kind | None:
    """The detector of torchvision whose weights have these names; None for other libraries.

    Raises CheckpointError for names that belong to several libraries, or to none of the detectors.
    """
    sign = next((name for name in names if name.startswith(_BEGINNINGS)), None)
    if sign is None:
        return None
    other = next((name for name in names if name.startswith(_DETECTRON2)), None)
    if other is not None:
        raise CheckpointError(
            f"{path}: looks like a mixture: {sign} is a name of torchvision's detectors and "
            f"{other} one of detectron2's; save the model's state_dict once more, from one of them"
        )
    for kind in KINDS:
        if all(any(re.match(pattern, name) for name in names) for pattern in kind.signs):
            return kind
    body = next((name for name in names if name.startswith("backbone.")), sign)
    raise CheckpointError(
        f"{path}: looks like {_relative(names)}, whose layers this program does not have ({body}); "
        f"it reads torchvision's {', '.join(kind.words for kind in KINDS)}"
    )


def converted(state: State, kind: Kind, path: Path) -> State:
    """The weights under the engine's names and with its order of classes; the kind is logged.

    Raises CheckpointError for weights that the kind does not have.
    """
    logger.info("%s: torchvision's %s, whose class 0 is the background", path, kind.words)
    try:
        return kind.convert(state)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: looks like torchvision's {kind.words}, but its layers are not as there "
            f"({error}); choose another file"
        ) from error


def known_names(state: State) -> dict[str, list[str]]:
    """`class_names` of a converted file with as many classes as torchvision's; {} for others.

    COCO numbers its 80 classes from 1 to 90: the numbers between them are classes without objects.
    """
    every = [COCO_CLASSES.get(number, f"N/A {number}") for number in range(1, 91)]
    if any(name.startswith("roi_heads.keypoint_head.") for name in state):
        every = every[:1]
    rows = len(state.get("roi_heads.box_predictor.cls_score.bias", ())) - 1
    if "head.bbox_pred.bias" in state:
        rows = 4 * len(state["head.cls_score.bias"]) // len(state["head.bbox_pred.bias"])
    if "head.bbox_pred.0.bias" in state:  # SSD has the background, too
        rows = 4 * len(state["head.cls_score.0.bias"]) // len(state["head.bbox_pred.0.bias"]) - 1
    return {"class_names": every} if rows == len(every) else {}


def require_config(
    path: Path, kind: Kind, state: State, model_shapes: Mapping[str, Shape], *, convention: str
) -> None:
    """Raise CheckpointError with the right config if the weights are not for the model.

    state         the converted weights
    model_shapes  key of the model -> shape
    convention    that of the model's anchors; "" for those of SSD, whose config has a rule
    """
    reason = _misfit(state, model_shapes)
    if convention == "detectron2":
        reason = "its anchors are not torchvision's"
    if reason:
        raise CheckpointError(
            f"{path}: the weights of torchvision's {kind.words} are for another model than that of "
            f"this config ({reason}); choose {kind.files}{_options(state)}"
        )


def _misfit(state: State, model_shapes: Mapping[str, Shape]) -> str:
    """Why the weights are not for the model; "" if they are, at least without optional heads."""
    for name, tensor in state.items():
        shape = model_shapes.get(name)
        if shape is None and not name.startswith(_OPTIONAL) and not _is_counter(name):
            return f"it has no {name}"
        if shape is not None and shape != tensor.shape and not has_class_rows(name):
            return f"{name} is {tuple(tensor.shape)} in the file but {shape} in the model"
    for name in model_shapes:
        if name not in state and not name.startswith(_OPTIONAL) and not _is_counter(name):
            return f"the file has no {name}"
    return ""


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _options(state: State) -> str:
    """The settings of a ResNet of another depth than the configs', and of a MobileNetV3."""
    if any(name.startswith("head.cls_tower.") for name in state):
        return " with MODEL.MOBILENETV3.REDUCED_TAIL True"
    blocks = {m[1] for m in _matches(state, r"backbone\.bottom_up\.res4\.(\d+)\.")}
    is_basic = "backbone.bottom_up.res4.0.conv3.weight" not in state
    if not blocks or (len(blocks) == 6 and not is_basic):
        return ""
    depth = {2: 18, 6: 34, 23: 101, 36: 152}.get(len(blocks), 50)
    width = ", MODEL.RESNETS.RES2_OUT_CHANNELS 64" if is_basic else ""
    return f" with MODEL.RESNETS.DEPTH {depth}{width}"


_OPTIONAL = ("roi_heads.mask_head.", "roi_heads.keypoint_head.")
"""Heads that a model or a file may have in addition."""

_BEGINNINGS = (
    *("backbone.body.", "backbone.fpn.", "rpn.head.", "roi_heads.box_head.fc6."),
    *("head.classification_head.", "head.regression_head."),
)
"""Beginnings of names that detectron2 does not have."""

_DETECTRON2 = (
    *("backbone.bottom_up.", "backbone.fpn_lateral", "proposal_generator."),
    *("head.cls_subnet.", "head.bbox_subnet.", "roi_heads.box_head.fc1."),
)
"""Beginnings of names that torchvision does not have."""


def _relative(names: Collection[str]) -> str:
    """The library or detector that the names of an unknown file remind of."""
    if any(name.startswith(("backbone.body.stem.", "backbone.fpn.fpn_inner")) for name in names):
        return "a model of maskrcnn-benchmark"
    if any(name.startswith("rpn.head.") for name in names):
        return "torchvision's Faster R-CNN on a body of one's own"
    return "a detector of torchvision on a body or head of one's own"


def _resnet(match: re.Match[str]) -> str:
    return f"backbone.bottom_up.{rename([match[1]], 'torchvision')[match[1]]}"


_BODY: tuple[Rule, ...] = (
    (r"^backbone\.body\.(\d+\.)", r"backbone.bottom_up.features.\1"),
    (r"^backbone\.body\.(.*)$", _resnet),
)
"""Rules for a MobileNet, whose parts are counted, or a ResNet, whose parts have names."""


def _pyramid(state: State) -> list[Rule]:
    """Rules for an FPN; files of old versions lack the number of the convolution in its block."""
    count = 1 + max(int(m[1]) for m in _matches(state, r"backbone\.fpn\.inner_blocks\.(\d+)\."))
    on_resnet = any(name.startswith("backbone.body.layer") for name in state)
    # torchvision takes the last maps of a ResNet, and two of stride 32 of a MobileNet.
    levels = [str(6 - count + i) for i in range(count)] if on_resnet else ["5", "5b"]

    def conv(part: str) -> Callable[[re.Match[str]], str]:
        kind = {"inner": "lateral", "layer": "output"}
        return lambda m: f"backbone.fpn_{kind[m[1]]}{levels[int(m[2])]}.{part}{m[3]}"

    return [
        (r"^backbone\.fpn\.(inner|layer)_blocks\.(\d+)\.(?:0\.)?(weight|bias)$", conv("")),
        (r"^backbone\.fpn\.(inner|layer)_blocks\.(\d+)\.1\.(\w+)$", conv("norm.")),
        (r"^backbone\.fpn\.extra_blocks\.", "backbone.top_block."),
    ]


def _two_stages(state: State) -> State:
    """Convert Faster, Mask and Keypoint R-CNN."""
    single = len(_matches(state, r"rpn\.head\.conv\.\d+\.0\.weight$")) < 2
    rpn, box, mask = "proposal_generator.rpn_head", "roi_heads.box_head", "roi_heads.mask_head"
    num_convs = len(_matches(state, r"roi_heads\.box_head\.\d+\.0\.weight$"))

    def numbered(part: str, end: str = "") -> Callable[[re.Match[str]], str]:
        return lambda m: f"{part}{int(m[1]) + 1}.{end}{m[2]}"

    def fully_connected(match: re.Match[str]) -> str:  # after the convolutions a Flatten is counted
        return f"{box}.fc{(int(match[1]) - num_convs - 1) // 2 + 1}.{match[2]}"

    rules: list[Rule] = [
        *_BODY,
        *_pyramid(state),
        (r"^rpn\.head\.conv\.(weight|bias)$", rf"{rpn}.conv.\1"),
        (
            r"^rpn\.head\.conv\.(\d+)\.0\.(\w+)$",
            rf"{rpn}.conv.\2" if single else rf"{rpn}.conv.conv\1.\2",
        ),
        (r"^rpn\.head\.cls_logits\.", f"{rpn}.objectness_logits."),
        (r"^rpn\.head\.bbox_pred\.", f"{rpn}.anchor_deltas."),
        (r"^roi_heads\.box_head\.fc6\.", f"{box}.fc1."),
        (r"^roi_heads\.box_head\.fc7\.", f"{box}.fc2."),
        (r"^roi_heads\.box_head\.(\d+)\.0\.(\w+)$", numbered(f"{box}.conv")),
        (r"^roi_heads\.box_head\.(\d+)\.1\.(\w+)$", numbered(f"{box}.conv", "norm.")),
        (r"^roi_heads\.box_head\.(\d+)\.(weight|bias)$", fully_connected),
        (r"^roi_heads\.mask_head\.(\d+)\.0\.(\w+)$", numbered(f"{mask}.mask_fcn")),
        (r"^roi_heads\.mask_head\.(\d+)\.1\.(\w+)$", numbered(f"{mask}.mask_fcn", "norm.")),
        (r"^roi_heads\.mask_predictor\.conv5_mask\.", f"{mask}.deconv."),
        (r"^roi_heads\.mask_predictor\.mask_fcn_logits\.", f"{mask}.predictor."),
        (
            r"^roi_heads\.keypoint_head\.(\d+)\.(\w+)$",
            lambda m: f"roi_heads.keypoint_head.conv_fcn{int(m[1]) // 2 + 1}.{m[2]}",
        ),
        (
            r"^roi_heads\.keypoint_predictor\.kps_score_lowres\.",
            "roi_heads.keypoint_head.score_lowres.",
        ),
    ]
    return {
        name: with_background_last(re.sub(r"^roi_heads\.(box_predictor\.)?", "", name), tensor)
        for name, tensor in renamed_weights(state, rules).items()
    }


def _one_stage(state: State) -> State:
    """Convert RetinaNet and FCOS, whose class 0 is never learned and left out."""
    norms = bool(_matches(state, r"head\.\w+_head\.conv\.\d+\.1\.weight$"))
    step = 3 if norms else 2  # convolution, norm, ReLU

    def tower(offset: int) -> Callable[[re.Match[str]], str]:
        return lambda m: f"head.{_TOWERS[m[1]]}.{int(m[2]) * step + offset}.{m[3]}"

    rules: list[Rule] = [
        *_BODY,
        *_pyramid(state),
        (r"^head\.(\w+)_head\.conv\.(\d+)\.0\.(\w+)$", tower(0)),
        (r"^head\.(\w+)_head\.conv\.(\d+)\.1\.(\w+)$", tower(1)),
        (
            r"^head\.(\w+)_head\.conv\.(\d+)\.(\w+)$",
            lambda m: f"head.{_TOWERS[m[1]]}.{m[2]}.{m[3]}",
        ),
        (r"^head\.classification_head\.cls_logits\.", "head.cls_score."),
        (r"^head\.regression_head\.bbox_reg\.", "head.bbox_pred."),
        (r"^head\.regression_head\.bbox_ctrness\.", "head.ctrness."),
    ]
    renamed = renamed_weights(state, rules)
    num_anchors = len(renamed["head.bbox_pred.bias"]) // 4
    for name in ("head.cls_score.weight", "head.cls_score.bias"):
        rows = renamed[name]
        by_class = rows.reshape(num_anchors, -1, *rows.shape[1:])
        renamed[name] = by_class[:, 1:].flatten(0, 1)
    for name in list(renamed) if norms else ():
        # With a norm torchvision's convolutions have no bias, and the engine's have.
        if re.match(r"head\.\w+_subnet\.\d+\.weight", name) and renamed[name].ndim == 4:
            bias = name.removesuffix("weight") + "bias"
            renamed.setdefault(bias, renamed[name].new_zeros(len(renamed[name])))
    return renamed


_TOWERS = {"classification": "cls_subnet", "regression": "bbox_subnet"}


def _matches(names: Iterable[str], pattern: str) -> list[re.Match[str]]:
    return [match for name in names if (match := re.match(pattern, name))]


_RESNET, _MOBILENET, _PYRAMID = (
    r"backbone\.body\.layer1\.",
    r"backbone\.body\.0\.0\.",
    r"backbone\.fpn\.inner_blocks\.",
)
_NORMS = r"backbone\.fpn\.inner_blocks\.0\.1\."

KINDS = (
    Kind(
        "Keypoint R-CNN ResNet-50-FPN",
        ("torchvision/keypointrcnn_resnet50_fpn",),
        (_RESNET, _PYRAMID, r"roi_heads\.keypoint_predictor\."),
        _two_stages,
    ),
    Kind(
        "Mask R-CNN ResNet-50-FPN v2",
        ("torchvision/maskrcnn_resnet50_fpn_v2",),
        (_RESNET, _NORMS, r"roi_heads\.mask_predictor\."),
        _two_stages,
    ),
    Kind(
        "Mask R-CNN ResNet-50-FPN",
        ("torchvision/maskrcnn_resnet50_fpn",),
        (_RESNET, _PYRAMID, r"roi_heads\.mask_predictor\."),
        _two_stages,
    ),
    Kind(
        "Faster R-CNN ResNet-50-FPN v2",
        ("torchvision/fasterrcnn_resnet50_fpn_v2",),
        (_RESNET, _NORMS, r"roi_heads\.box_predictor\."),
        _two_stages,
    ),
    Kind(
        "Faster R-CNN ResNet-50-FPN",
        ("torchvision/fasterrcnn_resnet50_fpn",),
        (_RESNET, _PYRAMID, r"roi_heads\.box_predictor\."),
        _two_stages,
    ),
    Kind(
        "Faster R-CNN MobileNetV3-Large-FPN",
        (
            "torchvision/fasterrcnn_mobilenet_v3_large_fpn",
            "torchvision/fasterrcnn_mobilenet_v3_large_320_fpn",
        ),
        (_MOBILENET, _PYRAMID, r"roi_heads\.box_predictor\."),
        _two_stages,
    ),
    Kind(
        "FCOS ResNet-50-FPN",
        ("torchvision/fcos_resnet50_fpn",),
        (_RESNET, _PYRAMID, r"head\.regression_head\.bbox_ctrness\."),
        _one_stage,
    ),
    Kind(
        "RetinaNet ResNet-50-FPN v2",
        ("torchvision/retinanet_resnet50_fpn_v2",),
        (_RESNET, _PYRAMID, r"head\.classification_head\.conv\.0\.1\."),
        _one_stage,
    ),
    Kind(
        "RetinaNet ResNet-50-FPN",
        ("torchvision/retinanet_resnet50_fpn",),
        (_RESNET, _PYRAMID, r"head\.classification_head\.conv\."),
        _one_stage,
    ),
    Kind(
        "SSDLite320 MobileNetV3-Large",
        ("SSD/ssdlite_mobilenetv3_320",),
        (r"backbone\.features\.0\.0\.", r"head\.classification_head\.module_list\.0\.0\."),
        ssdlite,
    ),
    Kind(
        "SSD300 VGG-16",
        ("SSD/ssd_vgg16_300",),
        (r"backbone\.scale_weight", r"head\.classification_head\.module_list\.0\."),
        ssd,
    ),
)
"""The first kind whose signs a file has is taken. To add one, add a row and its config."""
