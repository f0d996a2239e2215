"""SGD and AdamW with detectron2's parameter groups and gradient clipping."""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import nn, optim
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer

from app.engine.config import CfgNode
from app.engine.errors import ConfigError

logger = logging.getLogger(__name__)

# Without the channels-first LayerNorm of app.engine.layers, whose weights decay as in detectron2.
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


_ADAM = {"step", "exp_avg", "exp_avg_sq"}


def build_optimizer(cfg: CfgNode, model: nn.Module) -> Optimizer:
    """Build the optimiser of `cfg.SOLVER` for the trainable parameters of `model`."""
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
    names = {parameter: name for name, parameter in model.named_parameters()}
    for group in groups:  # names allow loading a state that was saved with other groups
        group["params"] = [(names[parameter], parameter) for parameter in group["params"]]
    # A fused step skips infinite gradients on the GPU, without a wait for the CPU to check them.
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
    """Load the saved averages of each parameter's gradients, which may be from another device.

    Rates, decays and momenta of `optimizer` are kept. A state of another kind of optimiser cannot
    be used: it is logged, and the averages of gradients start anew.
    """
    groups = optimizer.state_dict()["param_groups"]
    saved = _by_parameter(state, groups)
    if saved is None or not _is_of_same_kind(optimizer, saved.values()):
        logger.warning(
            "the averages of gradients start anew: the checkpoint has those of another optimiser"
        )
        saved = {}
    own = [(number, name) for g in groups for number, name in _numbered(g)]
    kept = {number: saved[name] for number, name in own if name in saved}
    optimizer.load_state_dict({"state": kept, "param_groups": groups})


def _by_parameter(
    state: dict[str, Any], own_groups: Sequence[dict[str, Any]]
) -> dict[str, dict[str, Any]] | None:
    """The saved state by the name of the parameter; None if it cannot be assigned to names."""
    groups = state["param_groups"]
    if not all("param_names" in group for group in groups):  # saved by the first release
        if [len(g["params"]) for g in groups] != [len(g["params"]) for g in own_groups]:
            return None
        names = [group["param_names"] for group in own_groups]
        groups = [{**g, "param_names": n} for g, n in zip(groups, names, strict=True)]
    numbered = [pair for group in groups for pair in _numbered(group)]
    return {name: state["state"][n] for n, name in numbered if n in state["state"]}


def _numbered(group: dict[str, Any]) -> Iterator[tuple[int, str]]:
    return zip(group["params"], group["param_names"], strict=True)


def _is_of_same_kind(optimizer: Optimizer, saved: Iterable[dict[str, Any]]) -> bool:
    known = {"momentum_buffer"} if isinstance(optimizer, optim.SGD) else _ADAM
    return all(set(of_parameter) <= known for of_parameter in saved)


def parameter_groups(
    model: nn.Module,
    *,
    base_lr: float,
    weight_decay: float,
    weight_decay_norm: float,
    bias_lr_factor: float = 1.0,
    weight_decay_bias: float | None = None,
) -> list[dict[str, Any]]:
    """Trainable parameters, each once, in groups of equal learning rate and decay.

    Norm layers have `weight_decay_norm`; biases, also of norms, have `weight_decay_bias` unless it
    is None, and `bias_lr_factor` times the rate.
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
    """Clip the gradients before every `step()`, after GradScaler has unscaled them.

    kind  value: each element; norm: each parameter's norm; full_model: the norm of all parameters
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
