"""Anchors: prior boxes of several sizes and aspect ratios at every cell of a feature map.

L: number of levels, A: anchors at one cell, H, W: height and width of a feature map in cells.
The flattened order is (y, x, anchor); within a cell, the size varies slowest (in torchvision the
aspect ratio).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from app.engine.config import CfgNode
from app.engine.structures.size import Size

PerLevel = Sequence[float] | Sequence[Sequence[float]]
"""One list of values for each level, or one list for all levels."""


class AnchorGrid(nn.Module, ABC):
    """The same anchors at every cell of a level, on L levels; `cells` holds those of one cell."""

    def __init__(self, cells: Sequence[Tensor]) -> None:
        super().__init__()
        self._last: tuple[tuple[Any, ...], list[Tensor]] | None = None
        self.num_levels = len(cells)
        for level, cell in enumerate(cells):
            self.register_buffer(f"cell_{level}", cell, persistent=False)

    @property
    def num_anchors(self) -> list[int]:
        """The number of anchors at one cell, for each level."""
        return [len(cell) for cell in self.cells()]

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Anchors of each map (N, C, H, W): L tensors (H * W * A, 4), padding included.

        The last result is cached: it takes many small operations, and sizes often repeat.
        """
        sizes = tuple((feature.shape[-2], feature.shape[-1]) for feature in features)
        cell = self.cells()[0]
        asked = (sizes, cell.device, cell.dtype, torch.is_inference_mode_enabled())
        last = self._last  # read once: another thread may replace the attribute
        if last is None or last[0] != asked:
            last = self._last = asked, self.of_sizes(sizes)
        return list(last[1])

    @abstractmethod
    def of_sizes(self, sizes: Sequence[Size]) -> list[Tensor]:
        """The anchors of maps of these sizes, L tensors (H * W * A, 4)."""

    def cells(self) -> list[Tensor]:
        """What the anchors of one cell have in common, for each level: (A, ...)."""
        return [self.get_buffer(f"cell_{level}") for level in range(self.num_levels)]


class AnchorGenerator(AnchorGrid):
    """Anchors by their sizes, square roots of areas in pixels, and their ratios h / w.

    `cells` are centred at the origin: (A, 4).

    convention  the library whose anchors these are; weights of another one do not fit
    """

    convention = "detectron2"

    def __init__(
        self,
        *,
        sizes: PerLevel,
        aspect_ratios: PerLevel,
        strides: Sequence[int],
        offset: float = 0.5,
    ) -> None:
        num_levels = len(strides)
        super().__init__(
            [
                self.cell(level_sizes, ratios)
                for level_sizes, ratios in zip(
                    for_each_level(sizes, num_levels),
                    for_each_level(aspect_ratios, num_levels),
                    strict=True,
                )
            ]
        )
        self.strides = list(strides)
        self.offset = offset

    @staticmethod
    def from_config(cfg: CfgNode, strides: Sequence[int]) -> "AnchorGenerator":
        """The generator for feature maps of the given strides."""
        node = cfg.MODEL.ANCHOR_GENERATOR
        return GENERATORS[node.NAME](
            sizes=node.SIZES,
            aspect_ratios=node.ASPECT_RATIOS,
            strides=strides,
            offset=node.OFFSET,
        )

    def of_sizes(self, sizes: Sequence[Size]) -> list[Tensor]:
        """The anchors of maps of these sizes: L tensors (H * W * A, 4)."""
        return [
            (self._shifts(size, step, cell)[:, None] + cell).reshape(-1, 4)
            for size, step, cell in zip(sizes, self.steps(sizes), self.cells(), strict=True)
        ]

    def steps(self, sizes: Sequence[Size]) -> list[tuple[int, int]]:
        """Pixels from one cell to the next, down and to the right, of each of the L maps."""
        return [(stride, stride) for stride in self.strides]

    @staticmethod
    def cell(sizes: Sequence[float], aspect_ratios: Sequence[float]) -> Tensor:
        """The anchors of one cell, centred at the origin: (A, 4)."""
        return cell_anchors(sizes, aspect_ratios)

    def _shifts(self, size: Size, step: tuple[int, int], like: Tensor) -> Tensor:
        (height, width), (down, right) = size, step
        x = torch.arange(width, device=like.device, dtype=like.dtype)
        y = torch.arange(height, device=like.device, dtype=like.dtype)
        x, y = x * right + self.offset * right, y * down + self.offset * down
        y, x = torch.meshgrid(y, x, indexing="ij")
        return torch.stack((x, y, x, y), dim=-1).reshape(-1, 4)


class TorchvisionAnchorGenerator(AnchorGenerator):
    """The anchors of torchvision's detectors.

    Corners are whole pixels, within a cell the aspect ratio varies slowest, the first cell is
    centred at the image's corner, and the cells of a coarse map are as far apart as the network's
    input has pixels for each, rounded down: less than the stride where that does not divide it.
    """

    convention = "torchvision"

    def steps(self, sizes: Sequence[Size]) -> list[tuple[int, int]]:
        """As of `AnchorGenerator`; the finest map has a cell for each of its strides."""
        height, width = (cells * self.strides[0] for cells in sizes[0])
        return [(height // rows, width // columns) for rows, columns in sizes]

    @staticmethod
    def cell(sizes: Sequence[float], aspect_ratios: Sequence[float]) -> Tensor:
        """As of `AnchorGenerator`, rounded and in another order."""
        return torch.cat([cell_anchors(sizes, [ratio]) for ratio in aspect_ratios]).round()


GENERATORS: dict[str, type[AnchorGenerator]] = {
    "DefaultAnchorGenerator": AnchorGenerator,
    "TorchvisionAnchorGenerator": TorchvisionAnchorGenerator,
}
"""The values of `MODEL.ANCHOR_GENERATOR.NAME`."""


def cell_anchors(sizes: Sequence[float], aspect_ratios: Sequence[float]) -> Tensor:
    """Return the anchors of one cell, centred at the origin: (A, 4) float32, not rounded."""
    anchors = []
    for size in sizes:
        for ratio in aspect_ratios:
            width = math.sqrt(size**2.0 / ratio)
            height = ratio * width
            anchors.append((-width / 2.0, -height / 2.0, width / 2.0, height / 2.0))
    return torch.tensor(anchors, dtype=torch.float32)


def for_each_level(values: PerLevel, num_levels: int) -> list[Sequence[float]]:
    """Return a list of values for each level."""
    lists = [v for v in values if isinstance(v, Sequence)]
    if not lists:
        lists = [[float(v) for v in values if not isinstance(v, Sequence)]]
    return lists * num_levels if len(lists) == 1 else lists
