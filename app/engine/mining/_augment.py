"""Augmented views of an image and its boxes, for consistency checks.

Strengths are those of CALD's published code. Random numbers depend on the candidate's seed only.
C, H, W: channels, height, width; R: boxes
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from app.engine.structures.boxes import clip, pairwise_ioa, scale

View = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""(C, H, W) uint8 image on any device, (R, 4) boxes in it and a seed -> the same in the view."""

SHRINK = 0.8
COLOUR = 1.5
ANGLE = math.radians(5)
NUM_CUTS = 2
CUT_SIDES = (0.05, 0.2)
"""Smallest and largest side of a cut, as a share of the image's side."""
CUT_COVERS = (0.1, 0.4)
"""Range of the largest share of an object that a cut may hide."""


def flip(image: Tensor, boxes: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Mirror left to right."""
    width = image.shape[-1]
    x0, y0, x1, y1 = boxes.unbind(dim=1)
    return image.flip(-1), torch.stack((width - x1, y0, width - x0, y1), dim=1)


def resize(image: Tensor, boxes: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Shrink to 0.8 times the size."""
    height, width = image.shape[-2:]
    size = (max(1, int(height * SHRINK)), max(1, int(width * SHRINK)))
    # This is computed in floating point because GPUs have no kernel for uint8.
    small = F.interpolate(image[None].float(), size, mode="bilinear", antialias=True)[0]
    return small.round().to(torch.uint8), scale(boxes, size[1] / width, size[0] / height)


def colour(image: Tensor, boxes: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Multiply brightness, then contrast, then saturation by 1.5."""
    bright = (image * COLOUR).clamp_(max=255)
    contrasting = torch.lerp(bright.mean(), bright, COLOUR).clamp_(0, 255)
    grey = contrasting.mean(dim=0, keepdim=True)
    saturated = torch.lerp(grey, contrasting, COLOUR).clamp_(0, 255)
    return saturated.to(torch.uint8), boxes


def cutout(image: Tensor, boxes: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Draw up to two black rectangles, each over 10 % to 40 % of an object."""
    generator = torch.Generator().manual_seed(seed)
    tries = (_random_box(image, generator) for _ in range(50))
    cuts = [cut for cut in tries if _covers_a_part(cut, boxes)]
    view = image.clone()
    for x0, y0, x1, y1 in cuts[:NUM_CUTS]:
        view[:, y0:y1, x0:x1] = 0
    return view, boxes


def rotate(image: Tensor, boxes: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Rotate by 5 degrees counter-clockwise and shrink to fit; boxes enclose the rotated boxes."""
    height, width = image.shape[-2:]
    cos, sin = math.cos(ANGLE), math.sin(ANGLE)
    # Sides of the rotated picture, relative to those of the image that it must fit into.
    grow_x = cos + sin * height / width
    grow_y = cos + sin * width / height
    to_source = torch.tensor(
        [
            [cos * grow_x, -sin * grow_y * height / width, 0],
            [sin * grow_x * width / height, cos * grow_y, 0],
        ],
        device=image.device,
    )
    grid = F.affine_grid(to_source[None], [1, *image.shape], align_corners=False)
    turned = F.grid_sample(image[None].float(), grid, align_corners=False)[0]

    x, y = boxes[:, [0, 2, 2, 0]] - width / 2, boxes[:, [1, 1, 3, 3]] - height / 2
    turned_x = (cos * x + sin * y) / grow_x + width / 2
    turned_y = (cos * y - sin * x) / grow_y + height / 2
    hull = (turned_x.amin(1), turned_y.amin(1), turned_x.amax(1), turned_y.amax(1))
    return turned.round().to(torch.uint8), clip(torch.stack(hull, dim=1), (height, width))


VIEWS: dict[str, View] = {
    "flip": flip,
    "resize": resize,
    "colour": colour,
    "cutout": cutout,
    "rotate": rotate,
}


def _covers_a_part(cut: list[int], boxes: Tensor) -> bool:
    covered = pairwise_ioa(boxes.new_tensor([cut]), boxes)
    return CUT_COVERS[0] <= float(covered.max()) <= CUT_COVERS[1]


def _random_box(image: Tensor, generator: torch.Generator) -> list[int]:
    sides = torch.tensor([image.shape[-1], image.shape[-2]])
    low, high = CUT_SIDES
    wh = sides * (low + (high - low) * torch.rand(2, generator=generator))
    corner = (sides - wh) * torch.rand(2, generator=generator)
    return [int(edge) for edge in torch.cat((corner, corner + wh))]
