"""SSD's prior boxes, whose sides are shares of the sides of the input.

L: levels, A: priors at a cell
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.func import functional_call

from app.engine.errors import ConfigError
from app.engine.modeling.anchors import AnchorGrid
from app.engine.modeling.backbone import Backbone
from app.engine.structures import boxes as box_ops
from app.engine.structures.size import Size

Shapes = list[tuple[float, float]]
"""(width, height) of the priors of one level, as shares of the input's sides."""

_FIRST_SCALE = 0.1
"""Of the square prior of a reduced first level: TensorFlow's constant."""


def torchvision_shapes(
    scales: Sequence[float], ratios: Sequence[Sequence[float]], *, reduce_first: bool
) -> Iterator[Shapes]:
    """Yield the priors of L levels by L + 1 scales: two squares, then each ratio lying, upright.

    The second square lies between the scales of this level and the next (SSD, section 2.2). There
    is no other form for the first level.
    """
    del reduce_first
    for level, of_level in enumerate(ratios):
        scale, between = scales[level], math.sqrt(scales[level] * scales[level + 1])
        shapes = [(scale, scale), (between, between)]
        for ratio in of_level:
            width, height = _sides(scale, ratio)
            shapes += [(width, height), (height, width)]
        yield shapes


def tensorflow_shapes(
    scales: Sequence[float], ratios: Sequence[Sequence[float]], *, reduce_first: bool
) -> Iterator[Shapes]:
    """Yield the priors of L levels by L + 1 scales: one for each ratio, then the square between.

    A reduced first level has a small square and the ratios 2 and 1/2.
    """
    for level, of_level in enumerate(ratios):
        scale = scales[level]
        if reduce_first and level == 0:
            yield [(_FIRST_SCALE, _FIRST_SCALE), _sides(scale, 2.0), _sides(scale, 0.5)]
        else:
            between = math.sqrt(scale * scales[level + 1])
            yield [*(_sides(scale, ratio) for ratio in of_level), (between, between)]


PRIOR_RULES: dict[str, Callable[..., Iterator[Shapes]]] = {
    "torchvision": torchvision_shapes,
    "tensorflow": tensorflow_shapes,
}
"""The values of MODEL.SSD.PRIOR_RULE; they differ in the order, too, which weights depend on."""


class PriorGrid(AnchorGrid):
    """The priors of an input of `size`, in pixels; `cells` hold widths and heights: (A, 2).

    counts  cells of each level in the input: (down, across), which may be fractions
    clip    no side of a prior exceeds the input's

    Computed in torchvision's order, since rounding decides which of two symmetric priors overlaps
    an object most.
    """

    def __init__(
        self,
        shapes: Sequence[Shapes],
        size: Size,
        counts: Sequence[tuple[float, float]],
        *,
        clip: bool = False,
    ) -> None:
        sides = [torch.tensor(of_level) for of_level in shapes]
        super().__init__([each.clamp(max=1) for each in sides] if clip else sides)
        self.input_size = size
        self.counts = list(counts)

    def of_sizes(self, sizes: Sequence[Size]) -> list[Tensor]:
        """The priors of maps of these sizes: L tensors (H * W * A, 4)."""
        height, width = self.input_size
        levels = []
        for size, counts, sides in zip(sizes, self.counts, self.cells(), strict=True):
            y, x = (
                (torch.arange(side, device=sides.device) + 0.5) / count
                for side, count in zip(size, counts, strict=True)
            )
            y, x = torch.meshgrid(y, x, indexing="ij")
            centers = torch.stack((x, y), dim=-1).reshape(-1, 1, 2)
            half = 0.5 * sides
            boxes = torch.cat((centers - half, centers + half), dim=-1).reshape(-1, 4)
            levels.append(box_ops.scale(boxes, width, height))
        return levels


@torch.no_grad()
def map_sizes(backbone: Backbone, names: Sequence[str], channels: int, size: Size) -> list[Size]:
    """Return the sizes of the maps of an input of `size`, without computing the maps.

    Raises ConfigError if the input is too small for the backbone.
    """
    tensors: dict[str, Tensor] = dict(backbone.named_parameters())
    tensors |= dict(backbone.named_buffers())
    blank = {name: tensor.detach().to("meta") for name, tensor in tensors.items()}
    was_training = backbone.training
    try:
        image = torch.empty((1, channels, *size), device="meta")
        maps = functional_call(backbone.eval(), blank, (image,))
    except RuntimeError as error:
        raise ConfigError(
            f"INPUT.FIXED_SIZE is {list(size)}, too small for the layers of the network; choose a "
            "larger one"
        ) from error
    finally:
        backbone.train(was_training)
    return [(maps[name].shape[-2], maps[name].shape[-1]) for name in names]


def _sides(scale: float, ratio: float) -> tuple[float, float]:
    """(width, height) of a prior whose width is `ratio` times its height."""
    return scale * math.sqrt(ratio), scale / math.sqrt(ratio)
