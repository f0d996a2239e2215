"""`gpu_id` of config.yaml -> the devices a run uses."""

import logging

from app.engine.trained.devices import may_have_gpu
from executor.errors import DeviceError, NoDeviceError
from executor.hyperparameters import Hyperparameters

logger = logging.getLogger(__name__)


def device_ids(hp: Hyperparameters) -> list[int]:
    """Return the GPUs to use, [] for the CPU.

    Without a `gpu_id` (a run by hand) every visible GPU is used. Raises NoDeviceError if a
    requested GPU does not exist, DeviceError if driver and image do not fit.
    """
    asked = hp.gpu_ids
    if asked is not None and not asked:
        logger.info("gpu_id is empty: running on the CPU")
        return []
    available = _available()
    if asked is None:
        logger.info("gpu_id is not set: using %s", f"{available} GPUs" if available else "the CPU")
        return list(range(available))
    if max(asked) >= available:
        raise NoDeviceError(
            f"gpu_id: GPU {max(asked)} was asked for but {available} are visible; give the "
            "container GPUs (docker run --gpus) or leave gpu_id empty to run on the CPU"
        )
    return list(asked)


def device_names(ids: list[int]) -> list[str]:
    """Return the engine's device name for each process."""
    return [f"cuda:{index}" for index in ids] or ["cpu"]


def gains_by_mixed_precision(device: str) -> bool:
    """Whether mixed precision speeds up training: on GPUs, and on CPUs with bfloat16 units."""
    if device != "cpu":
        return True
    import torch

    # Older releases of torch cannot tell; float32 works everywhere.
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _available() -> int:
    # torch takes seconds to import, so it is imported only if a device file exists.
    if not may_have_gpu():
        return 0
    import torch

    if torch.version.cuda is None or not torch.cuda.is_available():
        return 0
    for index in range(torch.cuda.device_count()):
        major, minor = torch.cuda.get_device_capability(index)
        built = [int(arch.split("_")[1]) for arch in torch.cuda.get_arch_list() if "sm_" in arch]
        if built and major * 10 + minor < min(built):
            raise DeviceError(
                f"GPU {index} ({torch.cuda.get_device_name(index)}, compute capability "
                f"{major}.{minor}) is older than this image supports (from {min(built) / 10}); "
                "use another GPU or leave gpu_id empty"
            )
    return torch.cuda.device_count()
