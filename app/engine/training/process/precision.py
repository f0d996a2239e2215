"""The number format in which a run computes, and the settings of the GPU's libraries."""

import logging

import torch

from app.engine.config import CfgNode
from app.engine.layers.precision import set_float32_precision

logger = logging.getLogger(__name__)


def training_dtype(cfg: CfgNode, device: torch.device) -> torch.dtype | None:
    """Return the format that SOLVER.AMP sets: bfloat16, float16, or None for float32."""
    if not cfg.SOLVER.AMP.ENABLED:
        return None
    name = cfg.SOLVER.AMP.DTYPE
    if device.type != "cuda":
        if name == "float16":
            logger.warning("SOLVER.AMP.DTYPE float16 needs a GPU: using bfloat16 on the CPU")
        return torch.bfloat16
    if name == "auto":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.float16 if name == "float16" else torch.bfloat16


def set_backend_flags(cfg: CfgNode) -> None:
    """Apply CUDNN_BENCHMARK and FLOAT32_PRECISION to the whole process."""
    torch.backends.cudnn.benchmark = bool(cfg.CUDNN_BENCHMARK)
    set_float32_precision(cfg)
