"""How exactly a GPU multiplies float32 numbers."""

import torch

from app.engine.config import CfgNode


def set_float32_precision(cfg: CfgNode) -> None:
    """FLOAT32_PRECISION, for the whole process; '' leaves it as it is."""
    if cfg.FLOAT32_PRECISION:
        torch.set_float32_matmul_precision(cfg.FLOAT32_PRECISION)
