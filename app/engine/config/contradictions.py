"""Checks of values of several keys that contradict each other or would have no effect.

Each value is valid by itself: `ranges.py` and `support.py` check that first. Feature maps are
checked in `feature_maps.py`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from app.engine.config.backbone_names import has_neck, parts
from app.engine.config.declared import ARCHITECTURES
from app.engine.config.defaults import DETECTRON2
from app.engine.config.faults import Fault, Leaves
from common.tile_limits import tile_faults

ROTATED = "rotated boxes are not part of this engine"

_WITH_ROI_HEADS = [name for name, traits in ARCHITECTURES.items() if traits.has_roi_heads]
_WITHOUT_TILES = ("ProposalNetwork", "SemanticSegmentor", "PanopticFPN")
_GROUPS = 32  # groups of GN


def contradictions(leaves: Leaves) -> Iterator[Fault]:
    """Yield one fault for each contradiction, at the key that a user would most likely change."""
    for find in (
        _image,
        _rotation,
        _architecture,
        _matching,
        _box_head,
        _cascade,
        _res5,
        _basic_blocks,
        _group_norms,
        _augmentation,
        _fixed_size,
        _priors,
        tile_contradictions,
        _solver,
    ):
        yield from find(leaves)


def _image(leaves: Leaves) -> Iterator[Fault]:
    mean, std = leaves["MODEL.PIXEL_MEAN"], leaves["MODEL.PIXEL_STD"]
    image_format = leaves["INPUT.FORMAT"]
    channels = 1 if image_format == "L" else 3
    if not len(mean) == len(std) == channels:
        yield Fault(
            "MODEL.PIXEL_MEAN",
            f"MODEL.PIXEL_MEAN has {len(mean)} numbers and MODEL.PIXEL_STD {len(std)}, and "
            f"INPUT.FORMAT {image_format} {channels} channels; give one of each per channel",
            others=("MODEL.PIXEL_STD", "INPUT.FORMAT"),
        )


def _rotation(leaves: Leaves) -> Iterator[Fault]:
    key = "MODEL.ANCHOR_GENERATOR.ANGLES"
    if leaves[key] != DETECTRON2["MODEL"]["ANCHOR_GENERATOR"]["ANGLES"]:
        yield Fault(key, f"{key} is refused: {ROTATED}; leave it out")


def _architecture(leaves: Leaves) -> Iterator[Fault]:
    architecture = leaves["MODEL.META_ARCHITECTURE"]
    for key in ("MODEL.MASK_ON", "MODEL.KEYPOINT_ON"):
        if leaves[key] and architecture not in _WITH_ROI_HEADS:
            yield Fault(
                key,
                f"{key} is True, but {architecture} has no heads for that; set it to False",
                others=("MODEL.META_ARCHITECTURE",),
            )
    if architecture == "PanopticFPN" and not leaves["MODEL.MASK_ON"]:
        yield Fault(
            "MODEL.MASK_ON",
            "MODEL.MASK_ON is False, but PanopticFPN merges masks; set it to True",
            others=("MODEL.META_ARCHITECTURE",),
        )
    proposals = leaves["MODEL.PROPOSAL_GENERATOR.NAME"]
    precomputed = proposals == "PrecomputedProposals"
    if precomputed and architecture == "ProposalNetwork":
        yield Fault(
            "MODEL.PROPOSAL_GENERATOR.NAME",
            f"MODEL.PROPOSAL_GENERATOR.NAME is {proposals}, but ProposalNetwork makes proposals; "
            "set it to RPN",
            others=("MODEL.META_ARCHITECTURE",),
        )
    if leaves["MODEL.LOAD_PROPOSALS"] != precomputed and architecture in _WITH_ROI_HEADS:
        yield Fault(
            "MODEL.LOAD_PROPOSALS",
            f"MODEL.LOAD_PROPOSALS is {leaves['MODEL.LOAD_PROPOSALS']} with "
            f"MODEL.PROPOSAL_GENERATOR.NAME {proposals}; set True with PrecomputedProposals, or "
            "False with RPN",
            others=("MODEL.PROPOSAL_GENERATOR.NAME", "MODEL.META_ARCHITECTURE"),
        )


def _matching(leaves: Leaves) -> Iterator[Fault]:
    for section in ("MODEL.RPN", "MODEL.ROI_HEADS", "MODEL.RETINANET"):
        thresholds = leaves[f"{section}.IOU_THRESHOLDS"]
        labels = leaves[f"{section}.IOU_LABELS"]
        if len(labels) != len(thresholds) + 1 or labels[-1] != 1:
            yield Fault(
                f"{section}.IOU_LABELS",
                f"{section}.IOU_LABELS is {list(labels)} with {section}.IOU_THRESHOLDS "
                f"{list(thresholds)}; give one label for each interval between thresholds, 1 for "
                "the last",
                others=(f"{section}.IOU_THRESHOLDS",),
            )


def _box_head(leaves: Leaves) -> Iterator[Fault]:
    if leaves["MODEL.META_ARCHITECTURE"] not in _WITH_ROI_HEADS:
        return
    section, heads = "MODEL.ROI_BOX_HEAD", leaves["MODEL.ROI_HEADS.NAME"]
    if heads != "Res5ROIHeads":
        if leaves[f"{section}.NAME"] != "FastRCNNConvFCHead":
            yield Fault(
                f"{section}.NAME",
                f"{section}.NAME is {leaves[f'{section}.NAME']!r}, but {heads} needs "
                "FastRCNNConvFCHead",
                others=("MODEL.ROI_HEADS.NAME",),
            )
        if leaves[f"{section}.NUM_CONV"] + leaves[f"{section}.NUM_FC"] == 0:
            yield Fault(
                f"{section}.NUM_FC",
                f"{section}.NUM_CONV and NUM_FC are 0; the head needs at least one layer",
                others=(f"{section}.NUM_CONV", "MODEL.ROI_HEADS.NAME"),
            )
    if leaves[f"{section}.USE_FED_LOSS"] and not leaves[f"{section}.USE_SIGMOID_CE"]:
        yield Fault(
            f"{section}.USE_FED_LOSS",
            f"{section}.USE_FED_LOSS is True, but a softmax cannot leave classes out; set "
            "USE_SIGMOID_CE True as well",
            others=(f"{section}.USE_SIGMOID_CE",),
        )


def _cascade(leaves: Leaves) -> Iterator[Fault]:
    heads = leaves["MODEL.ROI_HEADS.NAME"]
    if heads != "CascadeROIHeads" or leaves["MODEL.META_ARCHITECTURE"] not in _WITH_ROI_HEADS:
        return
    section = "MODEL.ROI_BOX_CASCADE_HEAD"
    ious, weights = leaves[f"{section}.IOUS"], leaves[f"{section}.BBOX_REG_WEIGHTS"]
    if len(ious) != len(weights):
        yield Fault(
            f"{section}.IOUS",
            f"{section}.IOUS has {len(ious)} numbers and BBOX_REG_WEIGHTS {len(weights)} lists; "
            "give one of each for each stage",
            others=(f"{section}.BBOX_REG_WEIGHTS", "MODEL.ROI_HEADS.NAME"),
        )
    first = leaves["MODEL.ROI_HEADS.IOU_THRESHOLDS"][0]
    if ious[0] != first:
        yield Fault(
            f"{section}.IOUS",
            f"{section}.IOUS starts with {ious[0]}, but MODEL.ROI_HEADS.IOU_THRESHOLDS with "
            f"{first}; both match the first stage, make them equal",
            others=("MODEL.ROI_HEADS.IOU_THRESHOLDS", "MODEL.ROI_HEADS.NAME"),
        )
    needed = {
        "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": True,  # a stage hands on one box
        "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES": False,
    }
    yield from _unless(leaves, needed, because_of="MODEL.ROI_HEADS.NAME")


def _res5(leaves: Leaves) -> Iterator[Fault]:
    heads = leaves["MODEL.ROI_HEADS.NAME"]
    if heads != "Res5ROIHeads" or leaves["MODEL.META_ARCHITECTURE"] not in _WITH_ROI_HEADS:
        return
    key, others = "MODEL.ROI_HEADS.IN_FEATURES", ("MODEL.ROI_HEADS.NAME",)
    if len(leaves[key]) != 1:
        yield Fault(
            key, f"{key} is {list(leaves[key])}, but {heads} works on one map", others=others
        )
    key = "MODEL.RESNETS.DEFORM_ON_PER_STAGE"
    if leaves[key][-1]:
        yield Fault(
            key,
            f"{key} is {list(leaves[key])}, but the res5 of {heads} is not deformable; set the "
            "last to False",
            others=others,
        )
    needed = {
        "MODEL.KEYPOINT_ON": False,
        "MODEL.RESNETS.RES5_DILATION": 1,
        "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES": False,
    }
    yield from _unless(leaves, needed, because_of="MODEL.ROI_HEADS.NAME")


def _basic_blocks(leaves: Leaves) -> Iterator[Fault]:
    """ResNets of less than 50 layers have blocks that are never grouped, dilated or deformable."""
    if leaves["MODEL.RESNETS.DEPTH"] < 50 and parts(leaves["MODEL.BACKBONE.NAME"])[0] == "resnet":
        needed = {
            "MODEL.RESNETS.RES2_OUT_CHANNELS": 64,
            "MODEL.RESNETS.RES5_DILATION": 1,
            "MODEL.RESNETS.NUM_GROUPS": 1,
            "MODEL.RESNETS.DEFORM_ON_PER_STAGE": [False] * 4,
        }
        yield from _unless(leaves, needed, because_of="MODEL.RESNETS.DEPTH")


def _unless(leaves: Leaves, needed: Mapping[str, Any], *, because_of: str) -> Iterator[Fault]:
    """Yield a fault for each key without the value that the key `because_of` needs."""
    for key, value in needed.items():
        if leaves[key] != value:
            yield Fault(
                key,
                f"{key} is {leaves[key]}, but {because_of} {leaves[because_of]} needs {value}",
                others=(because_of,),
            )


def _group_norms(leaves: Leaves) -> Iterator[Fault]:
    widths = dict(ARCHITECTURES[leaves["MODEL.META_ARCHITECTURE"]].norms)
    if has_neck(leaves["MODEL.BACKBONE.NAME"]):
        widths["MODEL.FPN.NORM"] = ("MODEL.FPN.OUT_CHANNELS",)
    for norm, keys in widths.items():
        width = next(key for key in keys if leaves[key])
        if leaves[norm] == "GN" and leaves[width] % _GROUPS:
            yield Fault(
                width,
                f"{width} is {leaves[width]}, but must be a multiple of {_GROUPS} with {norm} GN",
                others=(norm,),
            )


def _augmentation(leaves: Leaves) -> Iterator[Fault]:
    edges, sampling = leaves["INPUT.MIN_SIZE_TRAIN"], leaves["INPUT.MIN_SIZE_TRAIN_SAMPLING"]
    if sampling == "range" and (len(edges) != 2 or edges[0] > edges[1]):
        yield Fault(
            "INPUT.MIN_SIZE_TRAIN",
            f"INPUT.MIN_SIZE_TRAIN is {list(edges)}, but must be [lowest, highest] with "
            "INPUT.MIN_SIZE_TRAIN_SAMPLING range",
            others=("INPUT.MIN_SIZE_TRAIN_SAMPLING",),
        )
    kind, (a, b) = leaves["INPUT.CROP.TYPE"], leaves["INPUT.CROP.SIZE"]
    wrong = {
        "absolute": min(a, b) < 1 and "at least 1 pixel high and wide",
        "absolute_range": not 1 <= a <= b and "[smallest, largest] in pixels, from 1",
    }.get(kind, max(a, b) > 1 and "shares above 0, up to 1")
    if leaves["INPUT.CROP.ENABLED"] and wrong:
        yield Fault(
            "INPUT.CROP.SIZE",
            f"INPUT.CROP.SIZE is {[a, b]}, but must be {wrong} with INPUT.CROP.TYPE {kind}",
            others=("INPUT.CROP.TYPE", "INPUT.CROP.ENABLED"),
        )
    low, high = leaves["INPUT.LSJ.MIN_SCALE"], leaves["INPUT.LSJ.MAX_SCALE"]
    if low > high:
        yield Fault(
            "INPUT.LSJ.MIN_SCALE",
            f"INPUT.LSJ.MIN_SCALE is {low}, but must not exceed INPUT.LSJ.MAX_SCALE {high}",
            others=("INPUT.LSJ.MAX_SCALE",),
        )
    if leaves["INPUT.COLOR_JITTER"] and leaves["INPUT.FORMAT"].startswith("YUV"):
        yield Fault(
            "INPUT.COLOR_JITTER",
            f"INPUT.COLOR_JITTER is {leaves['INPUT.COLOR_JITTER']} with INPUT.FORMAT "
            f"{leaves['INPUT.FORMAT']}; set it to 0 or use BGR or RGB",
            others=("INPUT.FORMAT",),
        )
    if leaves["INPUT.RECOMPUTE_BOXES"] and not leaves["MODEL.MASK_ON"]:
        yield Fault(
            "INPUT.RECOMPUTE_BOXES",
            "INPUT.RECOMPUTE_BOXES takes boxes from masks; set MODEL.MASK_ON True, or it to False",
            others=("MODEL.MASK_ON",),
        )


def _fixed_size(leaves: Leaves) -> Iterator[Fault]:
    key, architecture = "INPUT.FIXED_SIZE", leaves["MODEL.META_ARCHITECTURE"]
    size = list(leaves[key])
    if not size:
        if ARCHITECTURES[architecture].fixed_size:
            yield Fault(
                key,
                f"{key} is [], but {architecture} needs one size for all images; set it to "
                "[height, width]",
                others=("MODEL.META_ARCHITECTURE",),
            )
        return
    for switch, does in (
        ("INPUT.LSJ.ENABLED", "resizes images in another way"),
        ("TEST.AUG.ENABLED", "looks at images in several sizes"),
    ):
        if leaves[switch]:
            yield Fault(
                switch,
                f"{switch} {does}, but {key} is {size}; set one of them to False or []",
                others=(key,),
            )


def _priors(leaves: Leaves) -> Iterator[Fault]:
    if leaves["MODEL.META_ARCHITECTURE"] != "SSD":
        return
    levels, ratios = len(leaves["MODEL.SSD.IN_FEATURES"]), leaves["MODEL.SSD.ASPECT_RATIOS"]
    lists = len(ratios) if isinstance(ratios[0], list | tuple) else 1
    counts = {
        "MODEL.SSD.SCALES": (len(leaves["MODEL.SSD.SCALES"]), (levels + 1,)),
        "MODEL.SSD.ASPECT_RATIOS": (lists, (1, levels)),
        "MODEL.SSD.STEPS": (len(leaves["MODEL.SSD.STEPS"]), (0, levels)),
    }
    for key, (count, allowed) in counts.items():
        if count not in allowed:
            yield Fault(
                key,
                f"{key} has {count} entries for {levels} feature maps; give "
                f"{' or '.join(map(str, allowed))}",
                others=("MODEL.SSD.IN_FEATURES", "MODEL.META_ARCHITECTURE"),
            )


def tile_contradictions(leaves: Leaves) -> Iterator[Fault]:
    """Yield why the config's photographs cannot be cut into its tiles."""
    side, overlap = leaves["INPUT.TILES.SIZE"], leaves["INPUT.TILES.OVERLAP"]
    architecture = leaves["MODEL.META_ARCHITECTURE"]
    for reason in tile_faults(side, overlap):
        yield Fault(
            "INPUT.TILES.SIZE",
            f"INPUT.TILES.SIZE is {side} and INPUT.TILES.OVERLAP {overlap}: {reason}",
            others=("INPUT.TILES.OVERLAP",),
        )
    if side and architecture in _WITHOUT_TILES:
        yield Fault(
            "INPUT.TILES.SIZE",
            f"INPUT.TILES.SIZE is {side}, but what {architecture} finds cannot be merged across "
            "tiles: that is for boxes, masks and keypoints of classes; set it to 0",
            others=("MODEL.META_ARCHITECTURE",),
        )
    if side and leaves["MODEL.LOAD_PROPOSALS"]:
        yield Fault(
            "INPUT.TILES.SIZE",
            f"INPUT.TILES.SIZE is {side}, but MODEL.LOAD_PROPOSALS takes proposals of whole images;"
            " set one of them to 0 or False",
            others=("MODEL.LOAD_PROPOSALS",),
        )


def _solver(leaves: Leaves) -> Iterator[Fault]:
    if leaves["SOLVER.NESTEROV"] and not leaves["SOLVER.MOMENTUM"]:
        yield Fault(
            "SOLVER.NESTEROV",
            "SOLVER.NESTEROV needs a SOLVER.MOMENTUM above 0; raise it",
            others=("SOLVER.MOMENTUM",),
        )
