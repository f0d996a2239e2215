"""What the next module needs to know about a feature map without seeing one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShapeSpec:
    """A feature map of `channels` channels, `stride` input pixels between its cells."""

    channels: int
    stride: int
