"""The keys of a config that decide the size of images for the network."""

from collections.abc import Sequence

from app.engine.config.node import CfgNode


def set_image_size(cfg: CfgNode, image_size: int) -> None:
    """Set the shorter side in pixels, 0 to keep it; the longer side's limit is scaled with it.

    A fixed size keeps its proportions.
    """
    if not image_size:
        return
    if cfg.INPUT.FIXED_SIZE:
        cfg.INPUT.FIXED_SIZE = scaled_sides(cfg.INPUT.FIXED_SIZE, image_size)
        return
    ratio = cfg.INPUT.MAX_SIZE_TEST / max(cfg.INPUT.MIN_SIZE_TEST, 1)
    longest = round(image_size * max(ratio, 1.0))
    cfg.INPUT.MIN_SIZE_TRAIN = (image_size,)
    cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING = "choice"
    cfg.INPUT.MAX_SIZE_TRAIN = longest
    cfg.INPUT.LSJ.SIZE = scaled_sides(cfg.INPUT.LSJ.SIZE, image_size)
    cfg.INPUT.MIN_SIZE_TEST = image_size
    cfg.INPUT.MAX_SIZE_TEST = longest


def scaled_sides(sides: Sequence[int], shorter: int) -> list[int]:
    """Return the sides in the same proportion, the shorter one as given."""
    return [round(side * shorter / min(sides)) for side in sides]
