"""How many processes read images: what the user asks for, as far as the container can bear it."""

import logging

from common.host_limits import cpu_count, memory_limit

logger = logging.getLogger(__name__)

_TASK_BYTES = 1 << 30  # the task itself: libraries, a small model, a batch
_WORKER_BYTES = 256 << 20  # a reader: large images, decoded and augmented, two batches ahead


def limited_workers(asked: int, *, processes: int = 1) -> int:
    """Reader processes for each of `processes`; a smaller number than asked for is logged.

    More readers than processors only take turns; more than fit the memory get the task killed.
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
