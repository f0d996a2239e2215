"""The interface of all detectors: images in, losses or detections out.

N: images in a batch; C, H, W: channels, height, width; K: foreground classes
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from app.engine.config import CfgNode
from app.engine.structures.detections import Detections
from app.engine.structures.image_list import ImageList
from app.engine.structures.moves import move
from app.engine.structures.sample import Sample
from app.engine.structures.size import padded_size


class Detector(nn.Module, ABC):
    """A model that computes `losses` in training mode and runs `detect` in evaluation mode.

    keep_class_probs  fill `Detections.class_probs` (used by mining)
    """

    keep_class_probs: bool = False
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        *,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        size_divisibility: int = 0,
    ) -> None:
        super().__init__()
        self.size_divisibility = size_divisibility
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), False)

    @classmethod
    @abstractmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """Build the detector that a config describes, on the CPU, with new random weights."""

    @abstractmethod
    def losses(self, samples: list[Sample]) -> dict[str, Tensor]:
        """Return the scalar losses of a labelled batch; the caller adds them."""

    @abstractmethod
    def detect(self, samples: list[Sample]) -> list[Detections]:
        """Detections of each image, in pixels of its `original_size`."""

    def detect_boxes(self, samples: list[Sample]) -> list[Detections]:
        """Like `detect`, without masks, keypoints and panoptic segments."""
        return self.detect(samples)

    @abstractmethod
    def dense_class_probs(self, samples: list[Sample]) -> list[Tensor]:
        """Class probabilities of each cell: one (N, K or 1, H, W) in [0, 1] for each level."""

    def forward(self, samples: list[Sample]) -> dict[str, Tensor] | list[Detections]:
        """Losses in training mode, detections otherwise."""
        return self.losses(samples) if self.training else self.detect(samples)

    @property
    def device(self) -> torch.device:
        """The device of the weights; batches are moved to it."""
        return self.pixel_mean.device

    def training_state(self) -> dict[str, float]:
        """Return the values besides the weights that a resumed training needs."""
        return {}

    def load_training_state(self, state: dict[str, float]) -> None:
        """Restore the values that `training_state` returned."""

    def preprocess(self, samples: list[Sample]) -> ImageList:
        """Normalise and pad a batch on the model's device; the padding is 0 after normalising."""
        images = [move(sample.image, self.device) for sample in samples]
        sizes = [sample.size for sample in samples]
        height, width = padded_size(sizes, self.size_divisibility)
        batch = torch.zeros(
            (len(images), height, width, len(self.pixel_mean)), device=self.device
        ).permute(0, 3, 1, 2)  # channels-last memory
        for row, image, (h, w) in zip(batch, images, sizes, strict=True):
            # Write directly into the batch, without a float copy of the image.
            torch.sub(image, self.pixel_mean, out=row[:, :h, :w])
            row[:, :h, :w].div_(self.pixel_std)
        return ImageList(batch, sizes)


class WrappedDetector(Detector):
    """Looks at images in another way with a `model`, which it does not copy; trains it as it is."""

    def __init__(self, model: Detector) -> None:
        super().__init__(
            pixel_mean=model.pixel_mean.flatten().tolist(),
            pixel_std=model.pixel_std.flatten().tolist(),
            size_divisibility=model.size_divisibility,
        )
        self.model = model
        self.train(model.training)

    @property
    def device(self) -> torch.device:
        """The device of the model's weights."""
        return self.model.device

    def losses(self, samples: list[Sample]) -> dict[str, Tensor]:
        """Those of the model."""
        return self.model.losses(samples)

    def dense_class_probs(self, samples: list[Sample]) -> list[Tensor]:
        """Those of the model."""
        return self.model.dense_class_probs(samples)
