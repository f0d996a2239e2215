"""What extensions declare about themselves, for readers who do not import them.

A check of settings must not import torch, which their files do. So each declares `TRAITS`, plain
data made with the words of this file and of `rules.py`, and `make generate` copies these lines to
`declared.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.engine.config.rules import Rule

Keys = Mapping[str, tuple[Any, Rule | tuple[Any, ...]]]
"""Key of a section -> its default, and the rule or the choices for its values."""


@dataclass(frozen=True, kw_only=True)
class Body:
    """A network that gives feature maps.

    section          its part of the config, with OUT_FEATURES: the maps that it gives
    keys             the keys of that section; none where detectron2 has it, see `defaults.py`
    strides          map -> stride, of all maps that it can give
    dilation         key of a dilation that keeps the last map at the stride of the one before
    first_weight     beginning of a name by which a file of its ImageNet weights is known
    faster_exported  ONNX Runtime computes it faster than torch on a CPU
    """

    section: str
    strides: Mapping[str, int]
    keys: Keys = field(default_factory=dict)
    dilation: str = ""
    first_weight: str = "\0"
    faster_exported: bool = False


@dataclass(frozen=True, kw_only=True)
class Neck:
    """What makes maps p<k> of stride 2**k, of a body's maps that MODEL.FPN.IN_FEATURES names.

    extra_levels   maps above the last of these
    has_top_block  MODEL.FPN.TOP_BLOCK_IN_FEATURE chooses what the extra levels are made of
    section, keys  its own part of the config, if it has one
    """

    extra_levels: int = 0
    has_top_block: bool = False
    section: str = ""
    keys: Keys = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A detector.

    in_features    sections whose IN_FEATURES it reads
    anchored       those of them in which MODEL.ANCHOR_GENERATOR lays anchors on the maps
    results        what it finds, in the words of evaluations; ("bbox",): boxes, with masks or
                   keypoints where MASK_ON or KEYPOINT_ON says so
    classes        section with NUM_CLASSES, SCORE_THRESH_TEST and NMS_THRESH_TEST
    section, keys  its own part of the config, unless detectron2 has it: see `defaults.py`
    norms          key of a norm -> keys of the width that it normalises; the first that is not 0
    has_roi_heads  MODEL.ROI_HEADS looks for masks and keypoints inside its proposals
    has_graph      it can be written as ONNX
    """

    in_features: tuple[str, ...]
    anchored: tuple[str, ...] = ()
    results: tuple[str, ...] = ("bbox",)
    classes: str = "MODEL.ROI_HEADS"
    section: str = ""
    keys: Keys = field(default_factory=dict)
    norms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    has_roi_heads: bool = False
    has_graph: bool = False


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form of export.

    of_trainings      `export` of a training can name it
    condition         under which a training makes it, in words for that setting
    needs_graph       it is made from an ONNX graph, which not every model has
    needs_validation  it is measured on validation images
    """

    of_trainings: bool = False
    condition: str = ""
    needs_graph: bool = False
    needs_validation: bool = False
