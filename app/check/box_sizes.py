"""Box sizes in the network's input, against the strides and anchors of the model.

side: square root of a box's area in pixels of the network's input, after images are resized
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from app.check._finding import Finding, Severity
from app.check._subject import Subject
from app.engine.config import CfgNode

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_MANY = 0.2
"""Share of the boxes from which a misfit is worth a warning."""
_LEAST_SIDE = 8.0
"""Pixels: the stride of the finest map of most models; what is smaller has less than one cell."""
_FAR = 2.0
"""An anchor with twice (or half) the side of a box overlaps it by a quarter at most."""


def look(subject: Subject) -> Iterator[Finding]:
    """Findings about the training set's boxes."""
    if not subject.has_objects:
        return
    import numpy as np

    from app.engine.config.image_size import set_image_size

    cfg = subject.cfg.clone()
    set_image_size(cfg, subject.hp.image_size)
    sides, scales = _sides(subject, cfg)
    shorter = min(cfg.INPUT.FIXED_SIZE or [cfg.INPUT.MIN_SIZE_TEST])
    size = f"images are resized to a shorter side of {shorter} pixels"
    tiny = sides < _LEAST_SIDE
    if tiny.mean() > _MANY:
        side = float(np.quantile(sides, _MANY / 2))
        better = 32 * round(shorter * _LEAST_SIDE / side / 32)
        yield Finding(
            Severity.WARNING,
            f"training set: {tiny.mean():.0%} of {len(sides)} boxes are smaller than"
            f" {_LEAST_SIDE:g} x {_LEAST_SIDE:g} pixels where the network sees them ({size}, by"
            f" {np.median(scales):.2g}), too small to be found",
            subject.settings_file,
            f"set a larger image_size (at {better} nine of ten would be large enough), or cut the"
            " images into tiles by tile_size (docs/tiles.md)",
        )
    yield from _against_anchors(subject, cfg, sides, size)


def _against_anchors(
    subject: Subject, cfg: CfgNode, sides: "npt.NDArray[np.float64]", size: str
) -> Iterator[Finding]:
    from app.engine.config.declared import ARCHITECTURES

    if not ARCHITECTURES[cfg.MODEL.META_ARCHITECTURE].anchored:
        return
    anchors = _numbers(cfg.MODEL.ANCHOR_GENERATOR.SIZES)
    for wrong, which, anchor, share in (
        (sides < min(anchors) / _FAR, "smallest", min(anchors), "less than half the side of"),
        (sides > max(anchors) * _FAR, "largest", max(anchors), "more than twice the side of"),
    ):
        if wrong.mean() > _MANY:
            is_small = which == "smallest"
            sizes = _scaled(cfg.MODEL.ANCHOR_GENERATOR.SIZES, 0.5 if is_small else 2.0)
            yield Finding(
                Severity.WARNING,
                f"training set: {wrong.mean():.0%} of {len(sides)} boxes have {share} the {which}"
                f" anchor ({anchor:g} pixels; {size}), so no anchor overlaps them by a quarter",
                subject.settings_file,
                f"set a {'larger' if is_small else 'smaller'} image_size, or args_options:"
                f" MODEL.ANCHOR_GENERATOR.SIZES {sizes}",
            )


def _sides(
    subject: Subject, cfg: CfgNode
) -> "tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]":
    """Side of each box, and the factor by which its image is resized: both (G,)."""
    import numpy as np

    from app.engine.structures.size import Resizing

    resizing = Resizing.from_config(cfg)
    tile = subject.hp.tile_size or cfg.INPUT.TILES.SIZE or math.inf
    sides, scales = [], []
    for record in subject.training.records:
        if not len(record):
            continue
        # A photograph that is cut into tiles is seen tile by tile.
        height, width = (int(min(side, tile)) for side in record.size)
        new_height, new_width = resizing((height, width))
        scale = math.sqrt(new_height * new_width / (height * width))
        boxes = record.boxes.astype(np.float64) * scale
        sides.append(np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))
        scales.append(np.full(len(record), scale))
    return np.concatenate(sides), np.concatenate(scales)


def _numbers(sizes: object) -> list[float]:
    if isinstance(sizes, list | tuple):
        return [number for size in sizes for number in _numbers(size)]
    return [float(str(sizes))]


def _scaled(sizes: object, factor: float) -> str:
    """The sizes times a factor, as `args_options` takes them."""
    if isinstance(sizes, list | tuple):
        return f"[{','.join(_scaled(size, factor) for size in sizes)}]"
    return f"{float(str(sizes)) * factor:g}"
