from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn


class Blocks(nn.Module):
    """block1.layer1, layer2 and res.layer2: detectron2's own case of names with prefixes."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = nn.Module()
        self.block1.layer1 = nn.Linear(2, 3)
        self.layer2 = nn.Linear(3, 2)
        self.res = nn.Module()
        self.res.layer2 = nn.Linear(3, 2)


@pytest.fixture
def blocks() -> nn.Module:
    torch.manual_seed(0)
    return Blocks()


@pytest.fixture
def blocks_state() -> dict[str, Tensor]:
    """Weights of `blocks`, the first layer without its prefix."""
    generator = torch.Generator().manual_seed(1)
    shapes = OrderedDict(
        [
            ("layer1.weight", (3, 2)),
            ("layer1.bias", (3,)),
            ("layer2.weight", (2, 3)),
            ("layer2.bias", (2,)),
            ("res.layer2.weight", (2, 3)),
            ("res.layer2.bias", (2,)),
        ]
    )
    return {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
