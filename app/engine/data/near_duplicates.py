"""Near-duplicates: the same picture in another format, size or quality, or with its edge cut off.

An image is embedded by the lowest frequencies of its thumbnail (the DCT of pHash,
https://www.phash.org, with real numbers in place of signs). Two images are near-duplicates if the
cosine of their embeddings is at least MIN_COSINE, and if the signs of their thumbnails' gradients
(the hash dHash) differ in at most MAX_DIFFERING of the places. `python -m
verification.near_duplicates` measured both numbers. Mirrored, turned and heavily cropped copies are
not found. Images without contrast are near-duplicates of none.

N, M: numbers of images
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from app.engine.data.images.thumbnails import SIDE, Thumbnail, read_thumbnail
from app.engine.errors import ImageError
from common.host_limits import cpu_count
from common.progress import Progress

MIN_COSINE = 0.90
MAX_DIFFERING = 0.25

_FREQUENCIES = 12  # along each axis
_NUM_COEFFICIENTS = _FREQUENCIES**2 - 1
_COSINES = np.cos(np.pi / SIDE * np.outer(np.arange(_FREQUENCIES), np.arange(SIDE) + 0.5)).astype(
    np.float32
)
_GRID = 16  # gradients lie between the cells of a grid of this side
NUM_BITS = 2 * _GRID * (_GRID - 1)
_MIN_CONTRAST = 1.0  # grey levels, standard deviation of a thumbnail
_ROWS, _COLUMNS = 256, 2048  # of a block of cosines: bounds the memory
_THREADS = 16  # at most: each may decode an image of hundreds of megabytes

Matrix = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Embeddings:
    """What near-duplicates are found by, for N images.

    vectors     (N, 143) float32 of length 1; zero for images without contrast and unreadable ones
    hashes      (N, 60) uint8, signs of gradients, eight in a byte
    unreadable  the reason for each image that cannot be read, by its index
    """

    vectors: Matrix
    hashes: Matrix
    unreadable: dict[int, str]


class Groups(NamedTuple):
    """Groups of at least two near-duplicates as indices, and the images that cannot be read.

    Two images are in one group also if a chain of near-duplicates connects them.
    """

    groups: list[list[int]]
    unreadable: dict[int, str]


class Pairs(NamedTuple):
    """Indices (training, validation) of near-duplicates, and the images that cannot be read.

    Each validation image occurs at most once, with the training image that is most like it.
    """

    pairs: list[tuple[int, int]]
    unreadable_training: dict[int, str]
    unreadable_validation: dict[int, str]


def near_duplicate_groups(paths: Sequence[Path], progress: Progress | None = None) -> Groups:
    """Find the groups of near-duplicates among image files, in the order of their first image."""
    embeddings = embed(paths, progress)
    return Groups(groups_of(embeddings), embeddings.unreadable)


def near_duplicate_pairs(
    training: Sequence[Path], validation: Sequence[Path], progress: Progress | None = None
) -> Pairs:
    """Find the validation images that are near-duplicates of a training image."""
    both = embed([*training, *validation], progress)
    num_training = len(training)
    first, second = _part(both, 0, num_training), _part(both, num_training, len(both.vectors))
    return Pairs(pairs_of(first, second), first.unreadable, second.unreadable)


def embed(paths: Sequence[Path], progress: Progress | None = None) -> Embeddings:
    """Read image files and embed them, with a thread for each processor."""
    vectors = np.zeros((len(paths), _NUM_COEFFICIENTS), dtype=np.float32)
    hashes = np.zeros((len(paths), NUM_BITS // 8), dtype=np.uint8)
    unreadable = {}
    with ThreadPoolExecutor(min(cpu_count(), _THREADS)) as threads:
        for index, found in enumerate(threads.map(_embed_one, paths)):
            if isinstance(found, str):
                unreadable[index] = found
            else:
                vectors[index], hashes[index] = found
            if progress is not None:
                progress((index + 1) / len(paths))
    return Embeddings(vectors, hashes, unreadable)


def groups_of(embeddings: Embeddings) -> list[list[int]]:
    """Find the groups of near-duplicates among embedded images."""
    labels = np.arange(len(embeddings.vectors))  # of a group: the index of its first image
    for first, second, _ in _candidates(embeddings, embeddings):
        new = labels[first] != labels[second]  # bounds the work for many copies of one image
        first, second = first[new], second[new]
        same = _confirmed(embeddings.hashes[first], embeddings.hashes[second])
        _join(labels, first[same], second[same])
    members: dict[int, list[int]] = {}
    for index, label in enumerate(labels.tolist()):
        members.setdefault(label, []).append(index)
    return [group for group in members.values() if len(group) > 1]


def pairs_of(training: Embeddings, validation: Embeddings) -> list[tuple[int, int]]:
    """Find for each validation image the training image that it is a near-duplicate of, if any."""
    best = np.zeros(len(validation.vectors))
    partner = np.full(len(validation.vectors), -1)
    for second, first, cosines in _candidates(validation, training):
        same = _confirmed(validation.hashes[second], training.hashes[first])
        better = same & (cosines > best[second])
        # Of several assignments to one place the last one stays, so the best comes last.
        order = np.flatnonzero(better)[np.argsort(cosines[better], kind="stable")]
        best[second[order]] = cosines[order]
        partner[second[order]] = first[order]
    return [(int(partner[index]), int(index)) for index in np.flatnonzero(partner >= 0)]


def _embed_one(path: Path) -> tuple[Matrix, Matrix] | str:
    """Vector and hash of an image, or the reason why it cannot be read."""
    try:
        thumbnail = read_thumbnail(path)
    except ImageError as error:
        return str(error)
    return _vector(thumbnail), _hash(thumbnail)


def _part(embeddings: Embeddings, start: int, stop: int) -> Embeddings:
    unreadable = {
        index - start: reason
        for index, reason in embeddings.unreadable.items()
        if start <= index < stop
    }
    return Embeddings(embeddings.vectors[start:stop], embeddings.hashes[start:stop], unreadable)


def _vector(thumbnail: Thumbnail) -> Matrix:
    """The low frequencies without the mean: (_NUM_COEFFICIENTS,), of length 1 or zero."""
    if thumbnail.std() < _MIN_CONTRAST:
        return np.zeros(_NUM_COEFFICIENTS, dtype=np.float32)
    spectrum = (_COSINES @ thumbnail @ _COSINES.T).ravel()[1:]
    vector: Matrix = spectrum / max(float(np.linalg.norm(spectrum)), 1e-6)
    return vector


def _hash(thumbnail: Thumbnail) -> Matrix:
    """The signs of the differences between neighbouring cells, to the right and down."""
    cell = SIDE // _GRID
    cells = thumbnail.reshape(_GRID, cell, _GRID, cell).mean(axis=(1, 3))
    right = cells[:, 1:] > cells[:, :-1]
    down = cells[1:] > cells[:-1]
    return np.packbits(np.concatenate([right.ravel(), down.ravel()]))


def _candidates(first: Embeddings, second: Embeddings) -> Iterator[tuple[Matrix, Matrix, Matrix]]:
    """Yield pairs with a large cosine block by block: indices in both, and cosines.

    Of one set with itself, each pair is yielded once and no image with itself.
    """
    for top in range(0, len(first.vectors), _ROWS):
        rows = first.vectors[top : top + _ROWS]
        # Blocks left of the diagonal repeat those above it.
        leftmost = top // _COLUMNS * _COLUMNS if first is second else 0
        for left in range(leftmost, len(second.vectors), _COLUMNS):
            cosines = rows @ second.vectors[left : left + _COLUMNS].T
            i, j = np.nonzero(cosines >= MIN_COSINE)
            if first is second:
                above = i + top < j + left
                i, j = i[above], j[above]
            if i.size:
                yield i + top, j + left, cosines[i, j]


def _confirmed(first: Matrix, second: Matrix) -> Matrix:
    """Whether hashes agree: (N, 60), (N, 60) -> (N,) bool."""
    differing: Matrix = np.bitwise_count(first ^ second).sum(axis=1, dtype=np.int64)
    return differing <= MAX_DIFFERING * NUM_BITS


def _join(labels: Matrix, first: Matrix, second: Matrix) -> None:
    """Give the members of each pair one label, the smallest that a chain of pairs leads to."""
    while (labels[first] != labels[second]).any():
        low = np.minimum(labels[first], labels[second])
        high = np.maximum(labels[first], labels[second])
        smaller = np.arange(len(labels))
        np.minimum.at(smaller, high, low)
        while (smaller != smaller[smaller]).any():
            smaller = smaller[smaller]
        labels[:] = smaller[labels]
