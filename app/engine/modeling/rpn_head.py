"""The convolutions of the region proposal network.

N: images, L: levels, A: anchors at one cell, C: channels
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.layers.conv import Conv2d, init_normal


class RPNHead(nn.Module):
    """3x3 convolutions, then objectness and deltas of A anchors; shared by all levels."""

    def __init__(
        self, in_channels: int, num_anchors: int, conv_dims: Sequence[int] = (-1,)
    ) -> None:
        super().__init__()
        convs = nn.Sequential()
        channels = in_channels
        for i, dim in enumerate(conv_dims):
            width = channels if dim == -1 else dim
            conv = Conv2d(channels, width, 3, padding=1, activation=F.relu_)
            convs.add_module(f"conv{i}", conv)
            channels = width
        # In detectron2's checkpoints a single convolution is named `conv`, without a number.
        self.conv: nn.Module = convs if len(convs) > 1 else convs[0]
        self.objectness_logits = nn.Conv2d(channels, num_anchors, 1)
        self.anchor_deltas = nn.Conv2d(channels, num_anchors * 4, 1)
        for layer in (*convs, self.objectness_logits, self.anchor_deltas):
            init_normal(layer, std=0.01)

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """L maps (N, C, H, W) -> L logits (N, A, H, W) and L deltas (N, A * 4, H, W)."""
        logits, deltas = [], []
        for feature in features:
            hidden = self.conv(feature)
            logits.append(self.objectness_logits(hidden))
            deltas.append(self.anchor_deltas(hidden))
        return logits, deltas
