"""A 2x2 deconvolution of stride 2: each cell becomes four, each of them a product of its own.

M: boxes; C, S: channels, side; O: output channels
"""

from torch import Tensor, nn
from torch.nn import functional as F


class Doubling(nn.ConvTranspose2d):
    """`relu(deconvolution(x))`, weights stored as a deconvolution's."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2, stride=2)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(M, C, S, S) -> (M, O, 2 S, 2 S)."""
        return F.relu_(super().forward(input, output_size))

    def quarters(self, x: Tensor) -> Tensor:
        """The four cells that each becomes, row by row: (M, C, S, S) -> (M, S, S, 4, O)."""
        return apart(F.relu_(F.conv2d(x, *self.as_pointwise())))

    def as_pointwise(self) -> tuple[Tensor, Tensor]:
        """Weight (4 O, C, 1, 1) and bias (4 O,)."""
        assert self.bias is not None
        weight = self.weight.permute(2, 3, 1, 0).reshape(-1, self.in_channels, 1, 1)
        return weight, self.bias.repeat(4)


def apart(x: Tensor) -> Tensor:
    """(M, 4 O, S, S) -> (M, S, S, 4, O)."""
    count, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(count, height, width, 4, channels // 4)
