"""Map names in files to names in models: rename Caffe2's and torchvision's, add prefixes."""

import re
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from app.engine.checkpoint.layout import Naming
from app.engine.errors import CheckpointError

_RPN_HEAD = "proposal_generator.rpn_head"
_KEYPOINT_HEAD = "roi_heads.keypoint_head"

_CAFFE2: tuple[tuple[str, str], ...] = (
    (r"^pred_([bw])$", r"linear_\1"),
    (r"_", "."),
    (r"\.b$", ".bias"),
    (r"\.w$", ".weight"),
    (r"bn\.(s|gamma)$", "norm.weight"),
    (r"bn\.(bias|beta)$", "norm.bias"),
    (r"bn\.(rm|running\.mean)$", "norm.running_mean"),
    (r"bn\.(riv|running\.var)$", "norm.running_var"),
    (r"gn\.s$", "norm.weight"),
    (r"gn\.bias$", "norm.bias"),
    (r"^res\.conv1\.norm\.", "conv1.norm."),
    (r"^conv1\.", "stem.conv1."),  # heads have a conv1, too
    (r"\.branch1\.", ".shortcut."),
    (r"\.branch2a\.", ".conv1."),
    (r"\.branch2b\.", ".conv2."),
    (r"\.branch2c\.", ".conv3."),
    # All levels share the RPN's layers, which are named after the first level, fpn2.
    (r"conv\.rpn(\.fpn2)?", f"{_RPN_HEAD}.conv"),
    (r"rpn\.bbox\.pred(\.fpn2)?", f"{_RPN_HEAD}.anchor_deltas"),
    (r"rpn\.cls\.logits(\.fpn2)?", f"{_RPN_HEAD}.objectness_logits"),
    (r"^bbox\.pred", "bbox_pred"),
    (r"^cls\.score", "cls_score"),
    (r"^fc6\.", "box_head.fc1."),
    (r"^fc7\.", "box_head.fc2."),
    (r"^head\.conv", "box_head.conv"),
    (r"^fpn\.inner\.res(\d)\..*?(\.norm)?\.(\w+)$", r"fpn_lateral\1\2.\3"),
    (r"^fpn\.res(\d)\..*?(\.norm)?\.(\w+)$", r"fpn_output\1\2.\3"),
    (r"\.\[mask\]\.fcn", "mask_head.mask_fcn"),
    (r"^\.mask\.fcn", "mask_head.mask_fcn"),
    (r"mask\.fcn\.logits", "mask_head.predictor"),
    (r"conv5\.mask", "mask_head.deconv"),
    (r"conv\.fcn", f"{_KEYPOINT_HEAD}.conv_fcn"),
    (r"kps\.score\.lowres", f"{_KEYPOINT_HEAD}.score_lowres"),
    (r"kps\.score\.", f"{_KEYPOINT_HEAD}.score."),
)

_TORCHVISION: tuple[tuple[str, str], ...] = (
    (r"^(conv1|bn1)\.", r"stem.\1."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"\bbn(\d)\.", r"conv\1.norm."),
    (r"^layer1\.", "res2."),
    (r"^layer2\.", "res3."),
    (r"^layer3\.", "res4."),
    (r"^layer4\.", "res5."),
)


_SAME = "two weights of the file mean the same; choose another file"


def rename(names: Iterable[str], naming: Naming) -> dict[str, str]:
    """Name in the file -> the engine's name, which may still lack prefixes."""
    rules = {"caffe2": _CAFFE2, "torchvision": _TORCHVISION}.get(naming, ())
    renamed = {}
    for name in names:
        renamed[name] = name
        for pattern, replacement in rules:
            renamed[name] = re.sub(pattern, replacement, renamed[name])
    if len(set(renamed.values())) < len(renamed):
        raise CheckpointError(_SAME)
    return renamed


Rule = tuple[str, str | Callable[[re.Match[str]], str]]
"""A regular expression, and what takes the place of its matches."""


def renamed_weights(state: Mapping[str, Tensor], rules: Iterable[Rule]) -> dict[str, Tensor]:
    """The weights under the names that the first matching rule makes; others keep theirs."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        for pattern, replacement in compiled:
            name, count = pattern.subn(replacement, name)
            if count:
                break
        renamed[name] = tensor
    if len(renamed) < len(state):
        raise CheckpointError(_SAME)
    return renamed


def with_background_last(name: str, tensor: Tensor) -> Tensor:
    """Move the background of a tensor of Caffe2 or torchvision from class 0 to K, or remove it."""
    if name.startswith("bbox_pred."):
        return tensor[4:]
    if name.startswith("mask_head.predictor."):
        return tensor[1:]
    if name.startswith("cls_score."):
        return torch.cat([tensor[1:], tensor[:1]])
    return tensor


def match_by_suffix(
    model_shapes: Mapping[str, tuple[int, ...]], file_shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, str]:
    """Model key -> the longest file key that equals it or its end after a dot.

    Pairs with different shapes are kept, so that the loader reports them. Raises CheckpointError if
    one file key fits two parameters.
    """
    matches: dict[str, str] = {}
    taken: dict[str, str] = {}
    for key, shape in model_shapes.items():
        parts = key.split(".")
        endings = (".".join(parts[start:]) for start in range(len(parts)))
        file_key = next((ending for ending in endings if ending in file_shapes), None)
        if file_key is None:
            continue
        matches[key] = file_key
        if file_shapes[file_key] != shape:
            continue
        if file_key in taken:
            raise CheckpointError(
                f"{file_key} of the checkpoint fits both {taken[file_key]} and {key} of the model; "
                "rename it to the one it is meant for"
            )
        taken[file_key] = key
    return matches
