"""Changes of colour."""

from dataclasses import dataclass

import numpy as np

from app.engine.data.transforms.transform import Pixels, Transform


@dataclass(frozen=True, slots=True)
class ColorChange(Transform):
    """Multiply brightness, contrast and saturation by a factor each, in this order.

    grey_weights  weight of each channel in the grey value, in the channel order of the pixels
    """

    brightness: float
    contrast: float
    saturation: float
    grey_weights: tuple[float, ...] = (0.299, 0.587, 0.114)

    def pixels(self, pixels: Pixels) -> Pixels:
        """Pixels must be uint8; the result is rounded and clipped to 0..255."""
        assert pixels.dtype == np.uint8
        mean = float(pixels.mean()) * self.brightness
        scale = self.brightness * self.contrast
        values = np.arange(256, dtype=np.float32) * scale + mean * (1 - self.contrast)
        changed: Pixels = values[pixels]
        if self.saturation != 1 and pixels.shape[2] == len(self.grey_weights):
            grey = changed @ np.array(self.grey_weights, dtype=np.float32)
            changed = changed * self.saturation + grey[..., None] * (1 - self.saturation)
        rounded: Pixels = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
        return rounded
