"""A linear layer that reads a whole map."""

from torch import Tensor, nn
from torch.nn import functional as F


class MapLinear(nn.Linear):
    """One vector from a small map: (M, C, S, S) -> (M, D). Weights are stored as of C * S * S."""

    def __init__(self, channels: int, side: int, out_features: int) -> None:
        super().__init__(channels * side * side, out_features)
        self.maps = (channels, side)

    def forward(self, input: Tensor) -> Tensor:
        """(M, C, S, S) -> (M, D)."""
        return F.linear(input.flatten(1), self.weight, self.bias)
