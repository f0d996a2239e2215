"""Names and strides of the feature maps of a network, without building it."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from app.engine.config.backbone_names import has_neck, parts
from app.engine.config.declared import ARCHITECTURES, BODIES, NECKS
from app.engine.config.faults import Fault, Leaves
from app.engine.config.traits import Body, Neck


def feature_faults(leaves: Leaves) -> Iterator[Fault]:
    """Yield faults of IN_FEATURES that do not exist, and of anchors for another number of maps."""
    maps = body_maps(leaves)
    if has_neck(leaves["MODEL.BACKBONE.NAME"]):
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
    """Return map -> stride of the body."""
    traits = _body(leaves)
    strides = dict(traits.strides)
    if traits.dilation and leaves[traits.dilation] == 2:
        *_, before, last = strides
        strides[last] = strides[before]
    return {name: strides[name] for name in leaves[f"{traits.section}.OUT_FEATURES"]}


def pyramid_maps(leaves: Leaves, body: dict[str, int]) -> dict[str, int]:
    """Return map -> stride of the pyramid on the maps of the body."""
    strides = [body[name] for name in leaves["MODEL.FPN.IN_FEATURES"]]
    strides += [strides[-1] << 1 + level for level in range(_neck(leaves).extra_levels)]
    return dict(zip(pyramid_names(strides), strides, strict=True))


def pyramid_names(strides: Sequence[int]) -> list[str]:
    """The names of a pyramid's maps: p<k> of stride 2**k, and p<k>b for the second of them."""
    names: list[str] = []
    for stride in strides:
        name = f"p{stride.bit_length() - 1}"
        names.append(f"{name}b" if name in names else name)
    return names


def _body(leaves: Leaves) -> Body:
    return BODIES[parts(leaves["MODEL.BACKBONE.NAME"])[0]]


def _neck(leaves: Leaves) -> Neck:
    _, neck = parts(leaves["MODEL.BACKBONE.NAME"])
    return NECKS[str(neck)]


def _pyramid_faults(leaves: Leaves, body: dict[str, int]) -> Iterator[Fault]:
    key, names = "MODEL.FPN.IN_FEATURES", leaves["MODEL.FPN.IN_FEATURES"]
    others = ("MODEL.BACKBONE.NAME", f"{_body(leaves).section}.OUT_FEATURES")
    if not names or not set(names) <= set(body):
        yield Fault(
            key, f"{key} is {list(names)}, but the body gives {', '.join(body)}", others=others
        )
        return
    strides = [body[name] for name in names]
    rises = all(b in (a, 2 * a) for a, b in pairwise(strides))
    if not rises or any(strides.count(stride) > 2 for stride in strides):
        yield Fault(
            key,
            f"{key} is {list(names)}, but each map must have twice the stride of the one before "
            "(two maps may have the same)",
            others=(*others, "MODEL.RESNETS.RES5_DILATION"),
        )
    top, last = "MODEL.FPN.TOP_BLOCK_IN_FEATURE", names[-1]
    known = ("", last, pyramid_names(strides)[-1])
    if _neck(leaves).has_top_block and leaves[top] not in known:
        yield Fault(top, f"{top} is {leaves[top]!r}, but must be '', {known[1]} or {known[2]}")


def _used_sections(leaves: Leaves) -> tuple[str, ...]:
    sections = ARCHITECTURES[leaves["MODEL.META_ARCHITECTURE"]].in_features
    if leaves["MODEL.PROPOSAL_GENERATOR.NAME"] != "RPN":
        return tuple(section for section in sections if section != "MODEL.RPN")
    return sections


def _anchor_faults(leaves: Leaves) -> Iterator[Fault]:
    anchored = ARCHITECTURES[leaves["MODEL.META_ARCHITECTURE"]].anchored
    for section in set(anchored) & set(_used_sections(leaves)):
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
