"""Convolution with norm and activation, and the initialisations that detectors use.

N, C, H, W: batch, channels, height, width
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from app.engine.layers.norm import FrozenBatchNorm2d


class Conv2d(nn.Conv2d):
    """`activation(norm(conv(x)))`; norm and activation may be None."""

    norm: nn.Module | None
    activation: Callable[[Tensor], Tensor] | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        norm: nn.Module | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **kwargs)
        self.norm = norm
        self.activation = activation

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        x = conv_norm(self, self.norm, input)
        return x if self.activation is None else self.activation(x)


class SeparableConv2d(nn.Module):
    """A convolution of each channel, then a 1x1 convolution: `norm(pointwise(depthwise(x)))`.

    It takes about 1 / kernel_size ** 2 of the products of a `Conv2d` (arXiv:1704.04861).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels,
            in_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            groups=in_channels,
            bias=False,
        )
        self.pointwise = Conv2d(in_channels, out_channels, 1, bias=bias, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        result: Tensor = self.pointwise(self.depthwise(x))
        return result


def conv2d(*args: Any, separable: bool, **kwargs: Any) -> Conv2d | SeparableConv2d:
    """Return a `SeparableConv2d` or a `Conv2d` of the same arguments."""
    return SeparableConv2d(*args, **kwargs) if separable else Conv2d(*args, **kwargs)


def conv_norm(conv: nn.Module, norm: nn.Module | None, x: Tensor) -> Tensor:
    """`norm(conv(x))`: (N, C, H, W) -> (N, C', H', W').

    In training, a frozen norm is folded into the weights, which saves one pass over the
    activations; the gradient still flows to the unscaled weights. Otherwise convolution and norm
    run one after the other, as in detectron2.
    """
    if isinstance(norm, FrozenBatchNorm2d) and norm.training:
        assert isinstance(conv, nn.Conv2d)
        y: Tensor = conv._conv_forward(x, *folded(conv, *norm.scale_and_shift()))
        return y
    y = nn.Conv2d.forward(conv, x) if isinstance(conv, Conv2d) else conv(x)
    return y if norm is None else norm(y)


def folded(conv: nn.Conv2d, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution with `x * scale + shift` folded into it."""
    bias = shift if conv.bias is None else shift + conv.bias * scale
    return conv.weight * scale.view(-1, 1, 1, 1), bias


def init_kaiming(module: nn.Module) -> None:
    """Draw normal weights that keep the variance of gradients through ReLUs; bias 0."""
    nn.init.kaiming_normal_(_weight(module), mode="fan_out", nonlinearity="relu")
    _zero_bias(module)


def init_xavier(module: nn.Module) -> None:
    """Draw uniform weights of variance 1 / fan_in; bias 0."""
    if isinstance(module, SeparableConv2d):
        init_xavier(module.depthwise)
        init_xavier(module.pointwise)
        return
    nn.init.kaiming_uniform_(_weight(module), a=1)
    _zero_bias(module)


def init_normal(module: nn.Module, std: float) -> None:
    """Draw normal weights of the given standard deviation; bias 0.

    The two parts of a `SeparableConv2d` together scale the variance as one convolution would.
    """
    if isinstance(module, SeparableConv2d):
        side = module.depthwise.kernel_size[0]
        init_normal(module.depthwise, 1 / side)
        init_normal(module.pointwise, std * side)
        return
    nn.init.normal_(_weight(module), std=std)
    _zero_bias(module)


def _weight(module: nn.Module) -> Tensor:
    assert isinstance(module.weight, Tensor)
    return module.weight


def _zero_bias(module: nn.Module) -> None:
    if isinstance(module.bias, Tensor):
        nn.init.zeros_(module.bias)
