"""Which feature maps a network has, by name, without building it."""

from collections.abc import Iterator
from itertools import pairwise

from app.engine.config.faults import Fault, Leaves

_BODIES = {
    "resnet": ("MODEL.RESNETS", {"stem": 4, "res2": 4, "res3": 8, "res4": 16, "res5": 32}),
    "mobilenetv2": ("MODEL.MOBILENETV2", {"mb2": 4, "mb3": 8, "mb4": 16, "mb5": 32}),
    "efficientnet": ("MODEL.EFFICIENTNET", {"ef2": 4, "ef3": 8, "ef4": 16, "ef5": 32}),
    "regnet": ("MODEL.REGNETS", {"stem": 2, "s1": 4, "s2": 8, "s3": 16, "s4": 32}),
}
"""Body -> its section, and the stride of each map."""

_USERS = {
    "RetinaNet": ("MODEL.RETINANET",),
    "FCOS": ("MODEL.FCOS",),
    "ProposalNetwork": ("MODEL.RPN",),
    "GeneralizedRCNN": ("MODEL.RPN", "MODEL.ROI_HEADS"),
    "PanopticFPN": ("MODEL.RPN", "MODEL.ROI_HEADS", "MODEL.SEM_SEG_HEAD"),
    "SemanticSegmentor": ("MODEL.SEM_SEG_HEAD",),
}
"""Architecture -> sections whose IN_FEATURES it reads."""


def feature_faults(leaves: Leaves) -> Iterator[Fault]:
    """IN_FEATURES that the network does not have, and anchors for another number of them."""
    maps = body_maps(leaves)
    if has_pyramid(leaves):
        if faults := list(_pyramid_faults(leaves, maps)):
            yield from faults
            return
        maps = pyramid_maps(leaves, maps)
    for section in _used_sections(leaves):
        key = f"{section}.IN_FEATURES"
        if not set(leaves[key]) <= set(maps):
            yield Fault(
                key,
                f"{key} is {list(leaves[key])}, but the network has {', '.join(maps)}",
                others=("MODEL.BACKBONE.NAME", "MODEL.META_ARCHITECTURE", "MODEL.FPN.IN_FEATURES"),
            )
    yield from _anchor_faults(leaves)


def body_maps(leaves: Leaves) -> dict[str, int]:
    """Map -> stride of the body alone."""
    section, strides = _BODIES[_body_name(leaves)]
    if section == "MODEL.RESNETS" and leaves["MODEL.RESNETS.RES5_DILATION"] == 2:
        strides = {**strides, "res5": 16}
    return {name: strides[name] for name in leaves[f"{section}.OUT_FEATURES"]}


def pyramid_maps(leaves: Leaves, body: dict[str, int]) -> dict[str, int]:
    """Map -> stride of the pyramid on the body."""
    strides = [body[name] for name in leaves["MODEL.FPN.IN_FEATURES"]]
    is_dense = "retinanet" in leaves["MODEL.BACKBONE.NAME"]
    strides += [strides[-1] << up for up in ((1, 2) if is_dense else (1,))]
    return {f"p{stride.bit_length() - 1}": stride for stride in strides}


def has_pyramid(leaves: Leaves) -> bool:
    """Whether the backbone is a body with an FPN."""
    return "_fpn_" in leaves["MODEL.BACKBONE.NAME"]


def _body_name(leaves: Leaves) -> str:
    name: str = leaves["MODEL.BACKBONE.NAME"]
    return next(body for body in _BODIES if f"_{body}_" in name)


def _pyramid_faults(leaves: Leaves, body: dict[str, int]) -> Iterator[Fault]:
    key, names = "MODEL.FPN.IN_FEATURES", leaves["MODEL.FPN.IN_FEATURES"]
    others = ("MODEL.BACKBONE.NAME", f"{_BODIES[_body_name(leaves)][0]}.OUT_FEATURES")
    if not names or not set(names) <= set(body):
        yield Fault(
            key, f"{key} is {list(names)}, but the body gives {', '.join(body)}", others=others
        )
        return
    if any(body[coarse] != 2 * body[fine] for fine, coarse in pairwise(names)):
        yield Fault(
            key,
            f"{key} is {list(names)}, but each map must have twice the stride of the one before",
            others=(*others, "MODEL.RESNETS.RES5_DILATION"),
        )
    top, last = "MODEL.FPN.TOP_BLOCK_IN_FEATURE", names[-1]
    known = ("", last, f"p{body[last].bit_length() - 1}")
    if "retinanet" in leaves["MODEL.BACKBONE.NAME"] and leaves[top] not in known:
        yield Fault(top, f"{top} is {leaves[top]!r}, but must be '', {known[1]} or {known[2]}")


def _used_sections(leaves: Leaves) -> tuple[str, ...]:
    sections = _USERS.get(leaves["MODEL.META_ARCHITECTURE"], ())
    if leaves["MODEL.PROPOSAL_GENERATOR.NAME"] != "RPN":
        return tuple(section for section in sections if section != "MODEL.RPN")
    return sections


def _anchor_faults(leaves: Leaves) -> Iterator[Fault]:
    with_anchors = [s for s in _used_sections(leaves) if s in ("MODEL.RPN", "MODEL.RETINANET")]
    for section in with_anchors:
        num_levels = len(leaves[f"{section}.IN_FEATURES"])
        per_cell = [1] * num_levels
        for name in ("SIZES", "ASPECT_RATIOS"):
            key = f"MODEL.ANCHOR_GENERATOR.{name}"
            lists = leaves[key] if isinstance(leaves[key][0], list | tuple) else [leaves[key]]
            if len(lists) not in (1, num_levels):
                yield Fault(
                    key,
                    f"{key} has {len(lists)} lists for {num_levels} feature maps; give one for all "
                    "of them, or one for each",
                    others=(f"{section}.IN_FEATURES",),
                )
                return
            lists = list(lists) * (num_levels // len(lists))
            per_cell = [n * len(each) for n, each in zip(per_cell, lists, strict=True)]
        if len(set(per_cell)) > 1:
            yield Fault(
                "MODEL.ANCHOR_GENERATOR.SIZES",
                f"MODEL.ANCHOR_GENERATOR gives the feature maps {per_cell} anchors at a cell, but "
                "they share one head; give each as many SIZES times ASPECT_RATIOS",
                others=("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS",),
            )
