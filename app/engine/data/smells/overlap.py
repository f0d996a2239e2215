"""The smell that validation images are training images, too."""

import hashlib
import io
import logging
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.engine.config.smells import SmellName
from app.engine.structures.record import ImageRecord
from common.text import printable

logger = logging.getLogger(__name__)

_HASHED_BYTES = 1 << 16
_THREADS = 16  # they hide the latency of network file systems


def sniff_overlap(
    training: Sequence[ImageRecord], validation: Sequence[ImageRecord], accepted: Collection[str]
) -> None:
    """Warn if validation images are training images, too, by path or by content."""
    if SmellName.OVERLAP in accepted:
        return
    shared = _shared(training, validation)
    if shared:
        logger.warning(
            "smell %s: %d of %d validation images are training images, too, such as %s: AP will be"
            " higher than on images the model has never seen; validate on others",
            SmellName.OVERLAP,
            len(shared),
            len(validation),
            printable(str(shared[0])),
        )


def _shared(training: Sequence[ImageRecord], validation: Sequence[ImageRecord]) -> list[Path]:
    """The validation images with the path or the content of a training image."""
    learnt = {record.path for record in training}
    shared = [record.path for record in validation if record.path in learnt]
    others = [record.path for record in validation if record.path not in learnt]
    paths = [*others, *learnt]
    with ThreadPoolExecutor(_THREADS) as threads:
        sizes = dict(zip(paths, threads.map(_file_size, paths, chunksize=64), strict=True))
        sizes_of_others = {sizes[path] for path in others}
        alike = [path for path in learnt if sizes[path] in sizes_of_others]
        digests = set(threads.map(_digest, alike))
        found = zip(others, threads.map(_digest, others if alike else []), strict=bool(alike))
        return shared + [path for path, digest in found if digest in digests]


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _digest(path: Path) -> bytes:
    """Digest of a file's size and first 64 KB; its path if it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(_HASHED_BYTES)
            size = file.seek(0, io.SEEK_END)
        return hashlib.blake2b(content, key=size.to_bytes(8, "big")).digest()
    except OSError:
        return bytes(path)
