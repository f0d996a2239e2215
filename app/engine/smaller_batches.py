"""Splits batches into smaller ones when memory runs out, down to one image."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from app.engine.errors import DoesNotFitError, is_out_of_memory
from app.engine.structures.size import Size

logger = logging.getLogger(__name__)


class NetworkInput(Protocol):
    """An image prepared for the network; `image_id` is the name of its file, if there is one."""

    @property
    def size(self) -> Size: ...

    @property
    def image_id(self) -> int | str: ...


class Predicts(Protocol):
    """A predictor whose `batch_size` shrinks permanently when memory runs out."""

    batch_size: int


S = TypeVar("S", bound=NetworkInput)
T = TypeVar("T")


def in_batches(
    predictor: Predicts,
    samples: Sequence[S],
    work: Callable[[list[S]], Sequence[T]],
) -> Iterator[T | DoesNotFitError]:
    """Apply `work` to batches; yield each sample's result, or an error if memory is too small."""
    start = 0
    while start < len(samples):
        batch = list(samples[start : start + predictor.batch_size])
        results = _unless_out_of_memory(batch, work)
        if results is not None:
            yield from results
            start += len(batch)
        elif len(batch) == 1:
            yield _does_not_fit(batch[0])
            start += 1
        else:
            predictor.batch_size = min(predictor.batch_size, len(batch) // 2)
            logger.warning("Memory is full: going on with batches of %d", predictor.batch_size)


def _unless_out_of_memory(
    batch: list[S], work: Callable[[list[S]], Sequence[T]]
) -> Sequence[T | DoesNotFitError] | None:
    try:
        return work(batch)
    except DoesNotFitError as error:
        if len(batch) == 1:
            return [error]  # it tells which part of the image is too large
    except Exception as error:  # ONNX Runtime's errors have no common class
        if not is_out_of_memory(error):
            raise
    # This stands outside the handler because its traceback keeps the batch's tensors alive.
    if "torch" in sys.modules:
        sys.modules["torch"].cuda.empty_cache()
    return None


def _does_not_fit(image: NetworkInput) -> DoesNotFitError:
    height, width = image.size
    return DoesNotFitError(
        f"{image.image_id or 'an image'}: its {width} x {height} pixels do not fit into memory, "
        "even alone; use a smaller image_size (INPUT.MIN_SIZE_TEST and INPUT.MAX_SIZE_TEST)"
    )
