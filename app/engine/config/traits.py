"""The classes of `TRAITS`, the properties that extensions declare for the config checks.

The config checks must not import torch, but the files of extensions do. So each file declares
`TRAITS` as plain data with the classes of this file and of `rules.py`, and `make generate` copies
these lines to `declared.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.engine.config.rules import Rule

Keys = Mapping[str, tuple[Any, Rule | tuple[Any, ...]]]
"""Key of a section -> its default, and the rule or the choices of its values."""


@dataclass(frozen=True, kw_only=True)
class Body:
    """A network that computes feature maps.

    section          its config section; OUT_FEATURES there names the maps that it returns
    keys             the keys of that section; empty if they are in `defaults.py`
    strides          map -> stride, for all maps that it can return
    dilation         key of a dilation that keeps the last map at the stride of the previous map
    first_weight     prefix of a weight name that identifies its ImageNet checkpoints
    faster_exported  ONNX Runtime is faster than torch on a CPU
    """

    section: str
    strides: Mapping[str, int]
    keys: Keys = field(default_factory=dict)
    dilation: str = ""
    first_weight: str = "\0"
    faster_exported: bool = False


@dataclass(frozen=True, kw_only=True)
class Neck:
    """Computes maps p<k> of stride 2**k from the body's maps in MODEL.FPN.IN_FEATURES.

    extra_levels   number of additional, coarser maps
    has_top_block  MODEL.FPN.TOP_BLOCK_IN_FEATURE chooses the input of the additional maps
    section, keys  its own config section, if it has one
    """

    extra_levels: int = 0
    has_top_block: bool = False
    section: str = ""
    keys: Keys = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A detector.

    in_features    sections whose IN_FEATURES it reads
    anchored       sections of `in_features` whose maps get anchors of MODEL.ANCHOR_GENERATOR
    results        its results by their names in evaluations; ("bbox",) also means masks or
                   keypoints if MASK_ON or KEYPOINT_ON is True
    classes        section with NUM_CLASSES, SCORE_THRESH_TEST and NMS_THRESH_TEST
    section, keys  its own config section, if it is not in `defaults.py`
    norms          key of a norm -> keys of its number of channels; the first that is not 0 counts
    has_roi_heads  it has the heads of MODEL.ROI_HEADS
    has_graph      it can be exported as ONNX
    fixed_size     it looks at images of INPUT.FIXED_SIZE only
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
    fixed_size: bool = False


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form of export.

    of_trainings      the setting `export` of a training can name it
    condition         words for the condition under which a training makes it
    needs_graph       it needs an ONNX graph, which not every model has
    needs_validation  it is measured on validation images
    one_stage         only one-stage detectors have it
    """

    of_trainings: bool = False
    condition: str = ""
    needs_graph: bool = False
    needs_validation: bool = False
    one_stage: bool = False
