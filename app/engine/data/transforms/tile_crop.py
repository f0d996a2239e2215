"""The crop of a large photograph that a training looks at, and which objects count in it.

G: objects of a photograph
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from app.engine.config import CfgNode
from app.engine.data.transforms.geometric import Crop
from app.engine.structures.record import ImageRecord
from app.engine.structures.tiles import TileGrid


@dataclass(frozen=True, slots=True)
class TileOfPhotograph(Crop):
    """A crop of the size of a tile."""

    def visible_shares(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return how much of each box it shows, as a share of the most it could: (G, 4) -> (G,).

        boxes  in pixels of the photograph
        """
        low = np.maximum(boxes[:, :2], (self.x0, self.y0))
        high = np.minimum(boxes[:, 2:], (self.x0 + self.width, self.y0 + self.height))
        seen = np.maximum(high - low, 0).prod(axis=1, dtype=np.float64)
        most = np.minimum(boxes[:, 2:] - boxes[:, :2], (self.width, self.height))
        shares: npt.NDArray[np.float64] = seen / np.maximum(most.prod(axis=1), 1e-9)
        return shares


@dataclass(frozen=True, slots=True)
class TileCrop:
    """Chooses a crop of the size of a tile; smaller images are left whole.

    A crop is placed around an object: a class of the photograph is drawn, then an object of that
    class, then one of the places that show the whole object (or, of an object larger than a tile,
    as much as fits). So crops with objects, and rare classes, are seen often however empty the
    photograph is.

    grid          the tiles of inference
    random_share  share of crops that are placed anywhere instead, so that empty ground is seen, too
    """

    grid: TileGrid
    random_share: float

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self | None:
        """Return the crops of `INPUT.TILES`; None if photographs are not cut."""
        grid = TileGrid.from_config(cfg)
        return None if grid is None else cls(grid, float(cfg.INPUT.TILES.RANDOM_SHARE))

    def draw(self, record: ImageRecord, rng: np.random.Generator) -> list[TileOfPhotograph]:
        """Draw the crop of a photograph; [] for an image that is no larger than a tile."""
        if not self.grid.cuts(record.size):
            return []
        height, width = (min(self.grid.side, length) for length in record.size)
        low = np.zeros(2, dtype=np.int64)
        high = np.array([record.width - width, record.height - height])
        box = self._chosen(record, rng)
        if box is not None:
            near = _places(box, np.array([width, height]))
            low, high = np.clip(near, low, high)
        x0, y0 = (int(rng.integers(start, stop + 1)) for start, stop in zip(low, high, strict=True))
        return [TileOfPhotograph(x0, y0, width, height)]

    def _chosen(
        self, record: ImageRecord, rng: np.random.Generator
    ) -> npt.NDArray[np.float32] | None:
        """Draw the box around which to crop; None for a crop anywhere."""
        if rng.random() < self.random_share:
            return None
        usable = np.ones(len(record), np.bool_) if record.crowd is None else ~record.crowd
        if not usable.any():
            return None
        one_class = rng.choice(np.unique(record.classes[usable]))
        chosen = rng.choice(np.flatnonzero(usable & (record.classes == one_class)))
        box: npt.NDArray[np.float32] = record.boxes[chosen]
        return box


def _places(box: npt.NDArray[np.float32], wh: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the first and the last origin x, y of crops that show a box, or lie inside it."""
    ends = np.stack((np.ceil(box[2:] - wh), np.floor(box[:2]))).astype(np.int64)
    return np.sort(ends, axis=0)
