"""Seeded weights: every tensor follows from its name and shape, bit for bit, on any machine.

Only 24-bit uniform numbers of the CPU generator and one multiply-add for each are used. Gains are
chosen so that a deep random network stays sensitive to its input and its scores spread.
"""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

VERSION = "parity-v1"

Rule = tuple[str, str, Sequence[Any]]
"""(pattern of the name, kind, arguments); the first that fits decides.

conv       gain, paired: uniform of standard deviation gain / sqrt(fan in). Paired makes odd input
           channels the negative of the even ones: filters of zero mean. Never fits a vector
affine     a, b: a + b u, u uniform in [-1, 1)
affine_bg  a, b, c: as affine, c more on the last entry (the background class)
"""

OF_THE_DATA = "fed_loss_cls_weights"
"""End of the names of tensors that are no weights: made from the images of each class."""

ROOT2 = math.sqrt(2.0)
RULES: tuple[Rule, ...] = (
    (r"stem\.conv1\.norm\.running_var$", "affine", (6000.0, 1000.0)),
    (r"\.norm\.running_var$", "affine", (1.0, 0.5)),
    (r"\.norm\.running_mean$", "affine", (0.0, 0.1)),
    (r"\.conv3\.norm\.weight$", "affine", (0.5, 0.2)),
    (r"\.conv3\.norm\.bias$", "affine", (0.0, 0.1)),
    (r"\.norm\.weight$", "affine", (1.0, 0.3)),
    (r"\.norm\.bias$", "affine", (0.0, 0.3)),
    (r"(res\d|stem)\..*weight$", "conv", (ROOT2, True)),
    (r"fpn_lateral\d\.weight$", "conv", (1.0, True)),
    (r"fpn_output\d\.weight$", "conv", (1.0, False)),
    (r"top_block\.p6\.weight$", "conv", (1.0, True)),
    (r"top_block\.p7\.weight$", "conv", (1.4, True)),
    (r"head\.(cls|bbox)_subnet\.0\.weight$", "conv", (1.4, False)),
    (r"head\.(cls|bbox)_subnet\.\d\.weight$", "conv", (1.4, True)),
    (r"^head\.cls_score\.weight$", "conv", (1.0, True)),
    (r"^head\.cls_score\.bias$", "affine", (-5.0, 0.5)),
    (r"^head\.bbox_pred\.weight$", "conv", (0.25, True)),
    (r"rpn_head\.conv\.weight$", "conv", (1.4, False)),
    (r"rpn_head\.objectness_logits\.weight$", "conv", (1.5, True)),
    (r"rpn_head\.objectness_logits\.bias$", "affine", (-2.0, 0.2)),
    (r"rpn_head\.anchor_deltas\.weight$", "conv", (0.3, True)),
    (r"box_head(\.\d)?\.fc1\.weight$", "conv", (1.4, False)),
    (r"box_head(\.\d)?\.fc\d\.weight$", "conv", (1.4, True)),
    (r"box_predictor(\.\d)?\.cls_score\.weight$", "conv", (0.9, True)),
    (r"box_predictor(\.\d)?\.cls_score\.bias$", "affine_bg", (0.0, 0.3, 2.5)),
    (r"box_predictor(\.\d)?\.bbox_pred\.weight$", "conv", (1.0, True)),
    (r"mask_head\.mask_fcn1\.weight$", "conv", (1.4, False)),
    (r"mask_head\.(mask_fcn\d)\.weight$", "conv", (1.4, True)),
    (r"mask_head\.deconv\.weight$", "conv", (1.4, True)),
    (r"mask_head\.predictor\.weight$", "conv", (4.0, True)),
    (r"keypoint_head\.conv_fcn1\.weight$", "conv", (1.4, False)),
    (r"keypoint_head\.conv_fcn\d\.weight$", "conv", (1.4, True)),
    (r"keypoint_head\.score_lowres\.weight$", "conv", (2.0, True)),
    (r"sem_seg_head\.p\d\.0\.weight$", "conv", (1.0, False)),
    (r"sem_seg_head\.p\d\.\d\.weight$", "conv", (1.4, True)),
    (r"sem_seg_head\.predictor\.weight$", "conv", (1.5, True)),
    # bodies and heads of later recordings
    (r"stem\.bn\.running_var$", "affine", (6000.0, 1000.0)),
    (r"bn\.running_var$", "affine", (1.0, 0.5)),
    (r"bn\.running_mean$", "affine", (0.0, 0.1)),
    (r"\.c_bn\.weight$", "affine", (0.5, 0.2)),
    (r"bn\.weight$", "affine", (1.0, 0.3)),
    (r"bn\.bias$", "affine", (0.0, 0.3)),
    (r"subnet\.\d+\.weight$", "affine", (1.0, 0.3)),
    (r"^head\.ctrness\.weight$", "conv", (1.0, True)),
    (r"s\d\..*weight$", "conv", (ROOT2, True)),
    (r"rpn_head\.conv\.conv\d\.weight$", "conv", (1.4, True)),
    (r"box_head(\.\d)?\.conv1\.weight$", "conv", (1.4, False)),
    (r"box_head(\.\d)?\.conv\d\.weight$", "conv", (1.4, True)),
    (r"\.bias$", "affine", (0.0, 0.05)),
)

# Further rules for other models, with which they find some objects, but not everywhere.
ONE_CLASS: list[Rule] = [
    (r"box_predictor\.cls_score\.weight$", "conv", (0.6, True)),
    (r"box_predictor\.cls_score\.bias$", "affine_bg", (0.0, 0.3, 1.0)),
]
C4: list[Rule] = [(r"box_predictor\.cls_score\.weight$", "conv", (1.8, True))]


def make_state_dict(
    shapes: Mapping[str, Sequence[int]], *, overrides: Iterable[Rule] = ()
) -> dict[str, Tensor]:
    """One float32 tensor for each name; counters of batch norms are zero."""
    rules = (*overrides, *RULES)
    return {
        name: torch.zeros((), dtype=torch.int64)
        if name.endswith("num_batches_tracked")
        else _make_tensor(name, tuple(shape), rules)
        for name, shape in shapes.items()
    }


def fill(model: nn.Module, *, overrides: Iterable[Rule] = ()) -> None:
    """Give a model its seeded weights; odds that the training set decides stay."""
    state = model.state_dict()
    shapes = {name: t.shape for name, t in state.items() if not name.endswith(OF_THE_DATA)}
    model.load_state_dict(state | make_state_dict(shapes, overrides=overrides))


def digest(state: Mapping[str, Tensor]) -> str:
    """sha256 over names, shapes and bytes, names sorted."""
    total = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().contiguous()
        total.update(f"{name}|{tuple(tensor.shape)}|".encode())
        total.update(tensor.numpy().tobytes())
    return total.hexdigest()


def _make_tensor(name: str, shape: tuple[int, ...], rules: Sequence[Rule]) -> Tensor:
    kind, arguments = _rule(name, shape, rules)
    seed = hashlib.sha256(f"{VERSION}||{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(seed[:7], "big"))
    uniform = torch.rand(shape, generator=generator) * 2.0 - 1.0
    if kind != "conv":
        tensor = uniform * float(arguments[1]) + float(arguments[0])
        if kind == "affine_bg":
            tensor[-1] += float(arguments[2])
        return tensor
    gain, paired = arguments
    if "deconv" in name or "score_lowres" in name:  # stored input channels first
        fan_in = shape[0] * (4 if "score_lowres" in name else 1)
        if paired:
            uniform[1::2] = -uniform[0::2]
    else:
        fan_in = math.prod(shape[1:])
        if paired and shape[1] % 2 == 0:
            uniform[:, 1::2] = -uniform[:, 0::2]
    return uniform * float(gain * math.sqrt(3.0 / fan_in))


def _rule(name: str, shape: tuple[int, ...], rules: Sequence[Rule]) -> tuple[str, Sequence[Any]]:
    for pattern, kind, arguments in rules:
        if re.search(pattern, name) and (kind != "conv" or len(shape) > 1):
            return kind, arguments
    raise KeyError(f"no rule makes {name} of shape {shape}")
