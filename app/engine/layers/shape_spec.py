"""The properties of a feature map that are known when the network is built."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShapeSpec:
    """A feature map of `channels` channels whose cells are `stride` input pixels apart."""

    channels: int
    stride: int
