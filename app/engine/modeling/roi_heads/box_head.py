"""The box head: it computes one vector for each box from cropped features.

M: boxes, C: channels, S: side of the crop
"""

from typing import Self

from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.config import CfgNode
from app.engine.layers.conv import Conv2d, init_kaiming, init_xavier
from app.engine.layers.norm import get_norm


class FastRCNNConvFCHead(nn.Module):
    """3x3 convolutions (with norm), then fully connected layers, each followed by a ReLU."""

    def __init__(
        self,
        in_channels: int,
        side: int,
        *,
        num_conv: int,
        conv_dim: int,
        num_fc: int,
        fc_dim: int,
        norm: str = "",
    ) -> None:
        super().__init__()
        channels = in_channels
        for i in range(num_conv):
            conv = Conv2d(
                channels,
                conv_dim,
                3,
                padding=1,
                bias=not norm,
                norm=get_norm(norm, conv_dim),
                activation=F.relu_,
            )
            self.add_module(f"conv{i + 1}", conv)
            channels = conv_dim
        self.out_dim = channels * side * side
        for i in range(num_fc):
            self.add_module(f"fc{i + 1}", nn.Linear(self.out_dim, fc_dim))
            self.out_dim = fc_dim
        for layer in self.children():
            (init_xavier if isinstance(layer, nn.Linear) else init_kaiming)(layer)

    @classmethod
    def from_config(cls, cfg: CfgNode, in_channels: int) -> Self:
        """The head of `MODEL.ROI_BOX_HEAD`."""
        head = cfg.MODEL.ROI_BOX_HEAD
        return cls(
            in_channels,
            head.POOLER_RESOLUTION,
            num_conv=head.NUM_CONV,
            conv_dim=head.CONV_DIM,
            num_fc=head.NUM_FC,
            fc_dim=head.FC_DIM,
            norm=head.NORM,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(M, C, S, S) -> (M, out_dim)."""
        for name, layer in self.named_children():
            x = F.relu_(layer(x.flatten(1))) if name.startswith("fc") else layer(x)
        return x.flatten(1)
