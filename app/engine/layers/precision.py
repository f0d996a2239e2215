"""The floating-point precision in which a network computes."""

import torch

from app.engine.config import CfgNode


def set_float32_precision(cfg: CfgNode) -> None:
    """Apply FLOAT32_PRECISION to the whole process; '' changes nothing."""
    if cfg.FLOAT32_PRECISION:
        torch.set_float32_matmul_precision(cfg.FLOAT32_PRECISION)


def autocast(device: torch.device, dtype: torch.dtype | None) -> torch.autocast:
    """A context that computes in `dtype`; None changes nothing."""
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)
