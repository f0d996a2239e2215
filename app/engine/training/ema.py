"""A moving average of the weights, often a better model than the weights themselves."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...] | list[Tensor]


class Ema:
    """Follows a model: average = decay * average + (1 - decay) * weights, once an iteration.

    The decay starts low, (1 + n) / (10 + n) after n updates, so that the random start is soon
    forgotten. Buffers (norm statistics) are those of the model.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.num_updates = 0
        self.averaged = AveragedModel(model, multi_avg_fn=self._blend)

    @property
    def model(self) -> nn.Module:
        """The averaged model."""
        module: nn.Module = self.averaged.module
        return module

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after an iteration."""
        self.num_updates += 1
        self.averaged.update_parameters(model)

    def restart(self, model: nn.Module) -> None:
        """Forget the past: the average is `model`."""
        self.num_updates = 0
        self.averaged.n_averaged.zero_()
        self.model.load_state_dict(model.state_dict())

    def state_dict(self) -> dict[str, Tensor | int]:
        """Weights of the average and how many went into it."""
        return {"num_updates": self.num_updates, **self.model.state_dict()}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Go on where `state` was taken."""
        weights = dict(state)
        num_updates = weights.pop("num_updates")
        assert isinstance(num_updates, int)
        self.num_updates = num_updates
        # AveragedModel's own counter only tells the first update, a plain copy, from the others.
        self.averaged.n_averaged.fill_(num_updates)
        self.model.load_state_dict(weights)

    def _blend(self, averages: Tensors, weights: Tensors, _: Tensor | int) -> None:
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        torch._foreach_lerp_(list(averages), list(weights), 1 - decay)
