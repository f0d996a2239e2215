"""The interface of all backbones."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from app.engine.errors import ConfigError
from app.engine.layers.shape_spec import ShapeSpec


class Backbone(nn.Module, ABC):
    """Turns a batch of images into named feature maps."""

    @property
    def size_divisibility(self) -> int:
        """The sides of the input must be multiples of this; 0 if every size is allowed."""
        return 0

    @abstractmethod
    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of each feature map, in the order of `forward`."""

    @abstractmethod
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, C, H, W) normalised images -> one feature map for each name."""


def shared_shapes(
    section: str, names: Sequence[str], shapes: Mapping[str, ShapeSpec]
) -> list[ShapeSpec]:
    """Return the shapes of the maps of a head; ConfigError if their channels differ."""
    chosen = [shapes[name] for name in names]
    channels = {shape.channels for shape in chosen}
    if len(channels) != 1:
        raise ConfigError(
            f"{section}.IN_FEATURES {list(names)} share one head, but have {sorted(channels)} "
            "channels; put an FPN before them or name one map"
        )
    return chosen
