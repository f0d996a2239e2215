"""One iteration: forward, backward and step, split into parts if memory is too small.

B: images of this process in one iteration
"""

import logging
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from app.engine.errors import OutOfMemoryError, is_out_of_memory
from app.engine.layers.precision import autocast
from app.engine.structures.sample import Sample
from app.engine.training.process.ranks import delay_gradients
from common.text import first_line

logger = logging.getLogger(__name__)

_MAX_HALVINGS = 4


class Stepper:
    """Updates the weights with one batch.

    network     the model, or the model wrapped for several processes
    accumulate  number of parts of a batch; gradients are weighted by the share of images
    halve       when memory runs out, halve the parts and go on (impossible with several processes,
                which must all do the same)
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        *,
        device: torch.device,
        dtype: torch.dtype | None = None,
        accumulate: int = 1,
        halve: bool = True,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.device = device
        self.dtype = dtype
        self.accumulate = accumulate
        # Only float16 has such a small range that small gradients become 0.
        self.scaler = GradScaler(device.type, enabled=dtype == torch.float16)
        self._halvings_left = _MAX_HALVINGS if halve else 0

    def __call__(self, samples: list[Sample]) -> dict[str, Tensor]:
        """Do one step; return the losses, detached and on the device, so as not to wait for it."""
        while True:
            try:
                losses = self._backward(samples)
                break
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self._use_smaller_parts(len(samples), error)
            # This stands outside the handler because its traceback keeps tensors alive.
            self.optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
        self.scaler.unscale_(self.optimizer)  # before gradients are clipped
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return losses

    def _backward(self, samples: list[Sample]) -> dict[str, Tensor]:
        self.optimizer.zero_grad(set_to_none=True)
        parts = list(_split(samples, self.accumulate))
        losses: dict[str, Tensor] = {}
        for number, part in enumerate(parts, start=1):
            share = len(part) / len(samples)
            with delay_gradients(self.network, number < len(parts)):
                with autocast(self.device, self.dtype):
                    part_losses = self.network(part)
                total = torch.stack([loss.float() for loss in part_losses.values()]).sum()
                scaled: Tensor = self.scaler.scale(total * share)
                scaled.backward()  # type: ignore[no-untyped-call]
            for name, loss in part_losses.items():
                value = loss.detach().float() * share
                losses[name] = losses[name] + value if name in losses else value
        return losses

    def _use_smaller_parts(self, num_images: int, error: Exception) -> None:
        parts = min(self.accumulate, num_images)
        if self._halvings_left == 0 or parts == num_images:
            raise OutOfMemoryError(
                f"the memory is too small for {-(-num_images // parts)} images at once "
                f"({first_line(error)}); lower SOLVER.IMS_PER_BATCH or "
                "INPUT.MIN_SIZE_TRAIN, or free the device of other programs"
            ) from error
        self._halvings_left -= 1
        self.accumulate = min(2 * parts, num_images)
        logger.warning(
            "Out of memory: from now on %d backward passes for each batch of %d images",
            self.accumulate,
            num_images,
        )


def _split(samples: list[Sample], parts: int) -> Iterable[list[Sample]]:
    """Split samples into at most `parts` lists of nearly equal size, in order, none empty."""
    parts = min(parts, len(samples))
    start = 0
    for number in range(parts):
        end = start + (len(samples) - start) // (parts - number)
        yield samples[start:end]
        start = end
