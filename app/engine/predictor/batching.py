"""Groups a stream of images into batches of equal size, and restores the order of the results.

A batch contains only images of the same padded size, so the padding of an image, and thus its
detections, do not depend on the other images.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from app.engine.errors import ImageError
from app.engine.predictor.streams import Answer, Submit

S = TypeVar("S")
T = TypeVar("T")

UNCUT = "uncut"
"""The bucket of photographs that are cut into tiles, each of which is a batch of its own."""


@dataclass(slots=True)
class _Place(Generic[S, T]):
    """An input's place in the queue of results; it holds the sample until its batch starts."""

    path: Path
    sample: S | None
    result: T | ImageError | None


def run_in_batches(
    samples: Iterable[tuple[Path, S | ImageError]],
    submit: Submit[S, T | ImageError],
    *,
    bucket_of: Callable[[S], Hashable],
    batch_size: Callable[[Hashable], int],
    window: int,
    group: int,
    streams: int = 1,
) -> Iterator[tuple[Path, T | ImageError]]:
    """Submit batches of one bucket each; yield the results in the order of `samples`.

    batch_size  largest batch of a bucket; called before each batch, since the size may shrink
    window      largest number of images that wait while buckets fill
    group       number of images after which all buckets are run: no batch has images of two groups,
                so that a stream that starts with another group has the same batches from there on
    streams     batches that are computed at once; another one is queued, so that no stream waits
    """
    queue: deque[_Place[S, T]] = deque()
    buckets: defaultdict[Hashable, list[_Place[S, T]]] = defaultdict(list)
    ahead = streams if streams > 1 else 0
    under_way: deque[tuple[list[_Place[S, T]], Answer[T | ImageError]]] = deque()

    def settle(limit: int) -> None:
        while len(under_way) > limit:
            places, answer = under_way.popleft()
            for place, result in zip(places, answer(), strict=True):
                place.result = result

    def run_bucket(bucket: Hashable) -> None:
        places = buckets.pop(bucket)
        under_way.append((places, submit([p.sample for p in places if p.sample is not None])))
        for place in places:
            place.sample = None
        settle(ahead)

    for number, (path, sample) in enumerate(samples, start=1):
        if isinstance(sample, ImageError):
            queue.append(_Place(path, None, sample))
        else:
            queue.append(_Place(path, sample, None))
            bucket = bucket_of(sample)
            buckets[bucket].append(queue[-1])
            if len(buckets[bucket]) >= batch_size(bucket):
                run_bucket(bucket)
        first = queue[0]
        if len(queue) >= window and first.sample is not None:
            run_bucket(bucket_of(first.sample))
        if number % group == 0:
            for bucket in list(buckets):
                run_bucket(bucket)
        yield from _finished(queue)
    for bucket in list(buckets):
        run_bucket(bucket)
    settle(0)
    yield from _finished(queue)


def _finished(queue: deque[_Place[S, T]]) -> Iterator[tuple[Path, T | ImageError]]:
    while queue and (result := queue[0].result) is not None:
        yield queue.popleft().path, result
