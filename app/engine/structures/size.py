"""Sizes of images, also for code that works without torch."""

from dataclasses import dataclass
from typing import Self

from app.engine.config import CfgNode

Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True, slots=True)
class Resizing:
    """How images are resized for the network.

    edge      short side, unless the long one would exceed `max_size`; 0: images are not resized
    max_size  largest long side
    fixed     the size to which every image is stretched instead; None: proportions are kept
    """

    edge: int
    max_size: int
    fixed: Size | None = None

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """Return how images are resized to detect objects in them."""
        sides = cfg.INPUT.FIXED_SIZE
        fixed = (sides[0], sides[1]) if sides else None
        return cls(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, fixed)

    def __call__(self, size: Size) -> Size:
        """Return the size that the network gets of an image of `size`."""
        if self.fixed is not None:
            return self.fixed
        return shortest_edge_size(size, self.edge, self.max_size) if self.edge else size


def shortest_edge_size(size: Size, edge: int, max_size: int) -> Size:
    """Size with a short side of `edge`, or less if the long side would exceed `max_size`."""
    height, width = size
    scale = edge / min(height, width)
    new_height, new_width = (
        (float(edge), scale * width) if height < width else (scale * height, float(edge))
    )
    if max(new_height, new_width) > max_size:
        shrink = max_size / max(new_height, new_width)
        new_height, new_width = new_height * shrink, new_width * shrink
    return max(int(new_height + 0.5), 1), max(int(new_width + 0.5), 1)


def padded_size(sizes: list[Size], size_divisibility: int = 0) -> Size:
    """Common size of a batch: the maximum of each side, rounded up to `size_divisibility`."""
    height, width = max(h for h, _ in sizes), max(w for _, w in sizes)
    if size_divisibility > 1:
        height = -(-height // size_divisibility) * size_divisibility
        width = -(-width // size_divisibility) * size_divisibility
    return height, width
