"""Convolution with its norm and activation, and the two initialisations detectors use.

N, C, H, W: batch, channels, height, width
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.layers.norm import FrozenBatchNorm2d
from app.engine.layers.packed import PackedConv2d
from app.engine.layers.winograd_training import convolve_by_tiles, has_many_tiles


class Conv2d(nn.Conv2d):
    """`activation(norm(conv(x)))`; norm and activation may be None.

    by_tiles  train by Winograd's tiles where a map has many; see `prepare_for_training`
    """

    by_tiles: bool = False
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

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.by_tiles and self.training and has_many_tiles(input):
            return convolve_by_tiles(input, weight, bias)
        y: Tensor = super()._conv_forward(input, weight, bias)
        return y


def conv_norm(conv: nn.Conv2d | PackedConv2d, norm: nn.Module | None, x: Tensor) -> Tensor:
    """`norm(conv(x))`: (N, C, H, W) -> (N, C', H', W').

    In training, a frozen norm becomes a scale of the filters: one pass over the activations less,
    and the gradient still reaches the unscaled weight. Otherwise the two run one after the other,
    as detectron2 runs them; `fold_batch_norm` folds a model that is done with training.
    """
    if isinstance(conv, PackedConv2d):
        packed: Tensor = conv(x)
        return packed if norm is None else norm(packed)
    if isinstance(norm, FrozenBatchNorm2d) and norm.training:
        weight, bias = folded(conv, *norm.scale_and_shift())
        y: Tensor = conv._conv_forward(x, weight, bias)
        return y
    y = conv._conv_forward(x, conv.weight, conv.bias)
    return y if norm is None else norm(y)


def conv_add(
    conv: Conv2d | PackedConv2d,
    x: Tensor,
    other: Tensor,
    *,
    relu: bool = False,
    last_use: bool = False,
) -> Tensor:
    """`conv(x) + other`, then a ReLU if asked for: (N, C, H, W), (N, C', H', W') -> the latter.

    last_use  `other` is needed nowhere else: inference may put the result there
    """
    if isinstance(conv, PackedConv2d):
        return conv.add(x, other, relu=relu, last_use=last_use)
    y = conv(x)
    y += other
    return F.relu_(y) if relu else y


def folded(conv: nn.Conv2d, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that is followed by `x * scale + shift`."""
    bias = shift if conv.bias is None else shift + conv.bias * scale
    return conv.weight * scale.view(-1, 1, 1, 1), bias


def init_kaiming(module: nn.Module) -> None:
    """Normal weights that keep the variance of gradients through ReLUs; bias 0."""
    nn.init.kaiming_normal_(_weight(module), mode="fan_out", nonlinearity="relu")
    _zero_bias(module)


def init_xavier(module: nn.Module) -> None:
    """Uniform weights of variance 1 / fan_in; bias 0."""
    nn.init.kaiming_uniform_(_weight(module), a=1)
    _zero_bias(module)


def init_normal(module: nn.Module, std: float) -> None:
    """Normal weights of the given standard deviation; bias 0."""
    nn.init.normal_(_weight(module), std=std)
    _zero_bias(module)


def _weight(module: nn.Module) -> Tensor:
    assert isinstance(module.weight, Tensor)
    return module.weight


def _zero_bias(module: nn.Module) -> None:
    if isinstance(module.bias, Tensor):
        nn.init.zeros_(module.bias)
