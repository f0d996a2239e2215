"""TensorFlow's `SAME` padding of a convolution that halves a map.

With a kernel of 3 cells and stride 2, a map of an even side gets zeros only behind it, and one of
an odd side gets them on both sides. Symmetric padding of 1 instead moves the kernel on maps of even
sides by one cell, which is half a cell of the output.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class SamePad(nn.Module):
    """Zeros around a map for a following convolution of 3 x 3 cells, stride 2 and no padding."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H + 1 + H % 2, W + 1 + W % 2)."""
        height, width = x.shape[2:]
        return F.pad(x, (width % 2, 1, height % 2, 1))
