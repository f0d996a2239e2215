"""A moving average of the weights, often a better model than the weights themselves."""

from collections import defaultdict
from copy import deepcopy

import torch
from torch import Tensor, nn


class Ema:
    """Follows a model: average = decay * average + (1 - decay) * weights, once an iteration.

    The decay starts low, (1 + n) / (10 + n) after n updates, so that the random start is soon
    forgotten. Buffers (norm statistics) are those of the model.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.num_updates = 0
        self.model = deepcopy(model)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Add the weights after an iteration to the average; the first are copied."""
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        share = 1.0 if self.num_updates == 1 else 1 - decay
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), share)
        buffers: defaultdict[torch.dtype, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for mine, other in zip(self.model.buffers(), model.buffers(), strict=True):
            buffers[mine.dtype].append((mine, other))
        for pairs in buffers.values():  # a GPU copies all buffers of one type at once
            mine_of_type, others_of_type = zip(*pairs, strict=True)
            torch._foreach_copy_(mine_of_type, others_of_type)

    def restart(self, model: nn.Module) -> None:
        """Start the average again from the weights of `model`."""
        self.num_updates = 0
        self.model.load_state_dict(model.state_dict())

    def state_dict(self) -> dict[str, Tensor | int]:
        """Return the averaged weights and the number of updates."""
        return {"num_updates": self.num_updates, **self.model.state_dict()}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Restore the average from `state`."""
        weights = dict(state)
        num_updates = weights.pop("num_updates")
        assert isinstance(num_updates, int)
        self.num_updates = num_updates
        self.model.load_state_dict(weights)
