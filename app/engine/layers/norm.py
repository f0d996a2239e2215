"""Normalisation layers by their names in configs (`get_norm`), and freezing of batch norms.

N, C, H, W: batch, channels, height, width
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.errors import ConfigError


class FrozenBatchNorm2d(nn.Module):
    """Batch norm with constant statistics, weight and bias; initially it is the identity."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.register_buffer("weight", torch.ones(num_features))
        self.register_buffer("bias", torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        # Variance + eps is exactly 1, for checkpoints whose norms are folded and hold no variance.
        self.register_buffer("running_var", torch.ones(num_features) - eps)
        # `freeze_batch_norm` copies the counter here, so that the checkpoint keys stay the same.
        self.num_batches_tracked: Tensor | None
        self.register_buffer("num_batches_tracked", None)
        self._known: _Known | None = None

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """The norm as `x * scale + shift`: (C,), (C,); recomputed if a buffer has changed."""
        numbers = (self.weight, self.bias, self.running_mean, self.running_var)
        if self._known is not None and self._known.is_made_of(numbers):
            return self._known.result
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        result = scale, self.bias - self.running_mean * scale
        if not (scale.is_inference() or self.weight.is_inference()):  # no version counter
            self._known = _Known(numbers, [number._version for number in numbers], result)
        return result

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        if not x.requires_grad:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        # F.batch_norm would store tensors for the gradients of the constant weight and bias.
        scale, shift = (part.to(x.dtype).view(1, -1, 1, 1) for part in self.scale_and_shift())
        return torch.addcmul(shift, x, scale)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        if self.num_batches_tracked is None:
            state_dict.pop(prefix + "num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        """Return the text that `print(model)` shows."""
        return f"{self.num_features}, eps={self.eps}"


@dataclass(frozen=True, slots=True)
class _Known:
    """A cached result, with its input tensors and their versions when it was computed."""

    numbers: Sequence[Tensor]
    versions: Sequence[int]
    result: tuple[Tensor, Tensor]

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Copy as None: the tensors of a copied norm have new version counters."""
        return type(None), ()

    def is_made_of(self, numbers: Sequence[Tensor]) -> bool:
        """Whether `numbers` are the same tensors and unchanged."""
        return all(
            mine is number and version == number._version
            for mine, version, number in zip(self.numbers, self.versions, numbers, strict=True)
        )


class LayerNorm(nn.Module):
    """Normalises the channels at every position: (N, C, H, W) -> the same."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        centered = x - x.mean(1, keepdim=True)
        variance = centered.pow(2).mean(1, keepdim=True)
        normal = centered / torch.sqrt(variance + self.eps)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


class NaiveSyncBatchNorm(nn.BatchNorm2d):
    """Batch norm over all processes, with equal weights or, if `by_batch_size`, by batch size.

    Weights by batch size also allow an empty batch on a process.
    """

    def __init__(self, num_features: int, *, by_batch_size: bool = False) -> None:
        super().__init__(num_features)
        self.by_batch_size = by_batch_size

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        if self.training and _several_processes():
            return _batch_norm_over_processes(self, input, by_batch_size=self.by_batch_size)
        return super().forward(input)


class SyncBatchNorm(nn.SyncBatchNorm):
    """torch's SyncBatchNorm, which needs a GPU; on the CPU the same in plain operations."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        if self.training and _several_processes() and input.device.type == "cpu":
            return _batch_norm_over_processes(self, input, by_batch_size=True)
        return super().forward(input)


class PerLevelBatchNorm(nn.ModuleList):
    """Shared weight and bias, but separate statistics for each feature level.

    For heads that several levels share, see arXiv:2105.07576, section 5.2.
    """

    def __init__(self, num_levels: int, channels: int, *, sync: bool) -> None:
        kind = SyncBatchNorm if sync else nn.BatchNorm2d
        super().__init__([kind(channels, affine=False) for _ in range(num_levels)])
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def normalize(self, x: Tensor, level: int) -> Tensor:
        """(N, C, H, W) of the given level -> the same."""
        normal: Tensor = self[level](x)
        return normal * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Tensor:
        total: Tensor = grads[0].clone()
        dist.all_reduce(total)
        return total


def _several_processes() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _batch_norm_over_processes(
    norm: nn.BatchNorm2d | nn.SyncBatchNorm, x: Tensor, *, by_batch_size: bool
) -> Tensor:
    dtype, x = x.dtype, x.float()
    if len(x) == 0:
        # The sum of an empty batch is 0, but lets this process take part in the backward pass.
        moments = x.new_zeros(2 * x.shape[1]) + x.sum()
    else:
        moments = torch.cat((x.mean(dim=(0, 2, 3)), (x * x).mean(dim=(0, 2, 3))))
    weight = x.new_tensor([float(len(x)) if by_batch_size else 1.0])
    total: Tensor = _SumOverProcesses.apply(torch.cat((moments * weight, weight)))
    total_weight = total[-1].detach()
    mean, mean_square = (total[:-1] / total_weight.clamp(min=1)).chunk(2)
    variance = mean_square - mean * mean
    scale = torch.rsqrt(variance + norm.eps)
    shift = -mean * scale
    if norm.weight is not None:
        scale, shift = scale * norm.weight, shift * norm.weight + norm.bias
    if norm.running_mean is not None and norm.running_var is not None:
        momentum = (norm.momentum or 0.0) * total_weight.clamp(max=1)
        norm.running_mean += momentum * (mean.detach() - norm.running_mean)
        norm.running_var += momentum * (variance.detach() - norm.running_var)
    return (x * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)).to(dtype)


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "BN": nn.BatchNorm2d,
    "SyncBN": SyncBatchNorm,
    "nnSyncBN": SyncBatchNorm,
    "naiveSyncBN": NaiveSyncBatchNorm,
    "naiveSyncBN_N": lambda channels: NaiveSyncBatchNorm(channels, by_batch_size=True),
    "FrozenBN": FrozenBatchNorm2d,
    "GN": lambda channels: nn.GroupNorm(32, channels),
    "LN": LayerNorm,
}


def get_norm(name: str, channels: int) -> nn.Module | None:
    """Return the norm `name` of a config for `channels` channels; None for ''."""
    if not name:
        return None
    if name == "GN" and channels % 32:
        raise ConfigError(f"norm 'GN' has 32 groups, {channels} channels are no multiple of 32")
    return NORMS[name](channels)


MOBILE_EPS, MOBILE_MOMENTUM = 0.001, 0.03
"""Of batch norms in detectors for mobile devices: torchvision's SSDLite, TensorFlow's epsilon."""


def mobile_norm(name: str, channels: int) -> nn.Module:
    """Return the batch norm `name` (BN, SyncBN, FrozenBN) with the numbers of mobile detectors."""
    if name == "FrozenBN":
        return FrozenBatchNorm2d(channels, MOBILE_EPS)
    kind = SyncBatchNorm if name == "SyncBN" else nn.BatchNorm2d
    return kind(channels, eps=MOBILE_EPS, momentum=MOBILE_MOMENTUM)


def set_eps(module: nn.Module, eps: float) -> None:
    """Set the number that batch norms inside `module` add to variances."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d | nn.SyncBatchNorm | FrozenBatchNorm2d):
            child.eps = eps


def freeze_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every batch norm in `module` by a frozen one with the same values."""
    if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
        frozen = FrozenBatchNorm2d(module.num_features, module.eps)
        if module.affine:
            frozen.weight.copy_(module.weight.detach())
            frozen.bias.copy_(module.bias.detach())
        if module.running_mean is not None and module.running_var is not None:
            frozen.running_mean.copy_(module.running_mean)
            frozen.running_var.copy_(module.running_var)
            frozen.num_batches_tracked = module.num_batches_tracked
        return frozen.to(module.weight.device if module.affine else frozen.weight.device)
    for name, child in module.named_children():
        setattr(module, name, freeze_batch_norm(child))
    return module
