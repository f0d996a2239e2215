"""SSD's head: convolutions of its own for each level, since levels differ in channels and priors.

N: images, K: classes, A: priors at a cell
"""

from collections.abc import Sequence

from torch import Tensor, nn

from app.engine.layers.norm import mobile_norm


class SSDHead(nn.Module):
    """Layers for classes and for boxes at each level.

    separable  a depthwise 3x3 convolution with a norm, then a 1x1 one, as in SSDLite
    norm       name of that norm
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        num_anchors: Sequence[int],
        num_classes: int,
        separable: bool,
        norm: str,
    ) -> None:
        super().__init__()
        side = 1 if separable else 3
        self.cls_tower, self.bbox_tower = nn.ModuleList(), nn.ModuleList()
        self.cls_score, self.bbox_pred = nn.ModuleList(), nn.ModuleList()
        for channels, anchors in zip(in_channels, num_anchors, strict=True):
            for tower in (self.cls_tower, self.bbox_tower):
                tower.append(_depthwise(channels, norm) if separable else nn.Identity())
            for last, values in ((self.cls_score, num_classes + 1), (self.bbox_pred, 4)):
                last.append(nn.Conv2d(channels, anchors * values, side, padding=side // 2))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                _initialise(module, separable=separable)

    def level_logits(self, feature: Tensor, level: int) -> Tensor:
        """(N, C, H, W) -> (N, A * (K + 1), H, W); channels are ordered (prior, class).

        The background comes after the classes.
        """
        logits: Tensor = self.cls_score[level](self.cls_tower[level](feature))
        return logits

    def level_deltas(self, feature: Tensor, level: int) -> Tensor:
        """(N, C, H, W) -> (N, A * 4, H, W)."""
        deltas: Tensor = self.bbox_pred[level](self.bbox_tower[level](feature))
        return deltas


def _depthwise(channels: int, norm: str) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
        mobile_norm(norm, channels),
        nn.ReLU6(inplace=True),
    )


def _initialise(conv: nn.Conv2d, *, separable: bool) -> None:
    if separable:
        nn.init.normal_(conv.weight, std=0.03)
    else:
        nn.init.xavier_uniform_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
