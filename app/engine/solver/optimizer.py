"""SGD and AdamW with detectron2's parameter groups and gradient clipping."""

import math
from collections.abc import Iterator
from typing import Any

from torch import nn, optim
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer

from app.engine.config import CfgNode
from app.engine.errors import ConfigError

# Without the channels-first LayerNorm of app.engine.layers, which decays: so in detectron2.
_NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.GroupNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
)


def build_optimizer(cfg: CfgNode, model: nn.Module) -> Optimizer:
    """The optimiser of `cfg.SOLVER` over the trainable parameters of `model`."""
    solver = cfg.SOLVER
    groups = parameter_groups(
        model,
        base_lr=solver.BASE_LR,
        weight_decay=solver.WEIGHT_DECAY,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        bias_lr_factor=solver.BIAS_LR_FACTOR,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
    )
    if not groups:
        raise ConfigError("the model has no trainable parameter; lower MODEL.BACKBONE.FREEZE_AT")
    on_gpu = groups[0]["params"][0].device.type == "cuda"
    # A fused step skips infinite gradients by itself: nobody waits to hear of them.
    how: dict[str, Any] = {"fused": True} if on_gpu else {"foreach": True}
    if solver.OPTIMIZER == "ADAMW":
        optimizer: Optimizer = optim.AdamW(groups, lr=solver.BASE_LR, **how)
    else:
        if solver.NESTEROV and not solver.MOMENTUM > 0:
            raise ConfigError("SOLVER.NESTEROV needs a SOLVER.MOMENTUM above 0; raise it")
        optimizer = optim.SGD(
            groups,
            lr=solver.BASE_LR,
            momentum=solver.MOMENTUM,
            nesterov=solver.NESTEROV,
            **how,
        )
    if solver.CLIP_GRADIENTS.ENABLED:
        clip_before_step(
            optimizer,
            kind=solver.CLIP_GRADIENTS.CLIP_TYPE,
            limit=solver.CLIP_GRADIENTS.CLIP_VALUE,
            norm_type=solver.CLIP_GRADIENTS.NORM_TYPE,
        )
    return optimizer


def load_optimizer_state(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Go on where `state` was taken, on a device of whatever kind."""
    groups = [
        {**saved, "foreach": own["foreach"], "fused": own["fused"]}
        for saved, own in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})


def parameter_groups(
    model: nn.Module,
    *,
    base_lr: float,
    weight_decay: float,
    weight_decay_norm: float,
    bias_lr_factor: float = 1.0,
    weight_decay_bias: float | None = None,
) -> list[dict[str, Any]]:
    """Trainable parameters, each once, merged into groups of equal rate and decay.

    Norm layers take `weight_decay_norm`; biases, a norm's too, take `weight_decay_bias` unless
    None, and `bias_lr_factor` times the rate.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for module, name, parameter in _trainable(model):
        lr = base_lr * bias_lr_factor if name == "bias" else base_lr
        decay = weight_decay_norm if isinstance(module, _NORMS) else weight_decay
        if name == "bias" and weight_decay_bias is not None:
            decay = weight_decay_bias
        groups.setdefault((lr, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": lr, "weight_decay": decay}
        for (lr, decay), parameters in groups.items()
    ]


def clip_before_step(optimizer: Optimizer, *, kind: str, limit: float, norm_type: float) -> None:
    """Let every `step()` first bound the gradients; GradScaler has unscaled them by then.

    kind  value: each element; norm: each parameter's norm; full_model: the norm of all together
    """
    if not (math.isfinite(limit) and limit > 0):
        raise ConfigError(f"SOLVER.CLIP_GRADIENTS.CLIP_VALUE is {limit}; give a number above 0")

    def clip(optimizer: Optimizer, *_: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if kind == "value":
            clip_grad_value_(parameters, limit)
        elif kind == "full_model":
            clip_grad_norm_(parameters, limit, norm_type)
        else:
            for parameter in parameters:
                clip_grad_norm_(parameter, limit, norm_type)

    optimizer.register_step_pre_hook(clip)


def _trainable(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                yield module, name, parameter
