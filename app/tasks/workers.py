"""The number of worker processes that read images, limited by the container."""

import logging

from common.host_limits import cpu_count, memory_limit

logger = logging.getLogger(__name__)

_TASK_BYTES = 1 << 30  # the task process: libraries, a small model, a batch
_WORKER_BYTES = 256 << 20  # a worker: large images, decoded and augmented, two batches ahead


def limited_workers(asked: int, *, processes: int = 1) -> int:
    """Return the workers for each of `processes`; a number below the requested one is logged.

    More workers than processors only take turns; too many for the memory get the task killed.
    """
    cpus, memory = cpu_count(), memory_limit()
    limit = max(cpus // processes, 1)
    reason = f"{cpus} processor{'s' if cpus > 1 else ''}"
    if memory is not None:
        fitting = max(memory - _TASK_BYTES * processes, 0) // (_WORKER_BYTES * processes)
        if fitting < limit:
            limit, reason = fitting, f"{memory / (1 << 30):.1f} GiB of memory"
    if asked <= limit:
        return asked
    logger.warning(
        "num_workers: %d processes read images, not %d: the container has %s",
        limit,
        asked,
        reason,
    )
    return limit
