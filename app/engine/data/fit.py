"""Numbers about a data set that tell whether a configuration suits it.

N: objects, A: anchor shapes, K: classes
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.engine.data.filters import count_classes, count_images
from app.engine.data.transforms import shortest_edge_size
from app.engine.structures.sample import ImageRecord

Array = npt.NDArray[np.float64]

_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """What is in a data set; crowds are not counted.

    objects_of, images_of  class name -> number of objects, of images that show one
    side_quantiles         5 %, 50 % and 95 % of the objects' sides (root of the area) in pixels of
                           the network's input; zeros without objects
    ratio_quantiles        the same of height / width
    """

    num_images: int
    num_empty: int
    num_objects: int
    most_objects: int
    objects_of: dict[str, int]
    images_of: dict[str, int]
    side_quantiles: tuple[float, ...]
    ratio_quantiles: tuple[float, ...]

    def lines(self) -> list[str]:
        """Three lines for a log."""
        low, middle, high = self.side_quantiles
        missing = [name for name, count in self.objects_of.items() if not count]
        lines = [
            f"{self.num_images} images ({self.num_empty} without objects), {self.num_objects}"
            f" objects, at most {self.most_objects} in an image",
            f"at the network's input objects are {low:.0f} to {high:.0f} pixels large, half of them"
            f" below {middle:.0f}",
        ]
        return [*lines, f"no object of: {', '.join(missing)}"] if missing else lines


def summarize(
    records: Sequence[ImageRecord], class_names: Sequence[str], *, edge: int, max_size: int
) -> DatasetSummary:
    """The summary for images resized to a short side of `edge`, long side up to `max_size`."""
    shapes = network_shapes(records, edge=edge, max_size=max_size)
    counts = [len(_real_boxes(record)) for record in records]
    objects_of = count_classes(records, len(class_names)).tolist()
    images_of = count_images(records, len(class_names)).tolist()
    return DatasetSummary(
        num_images=len(records),
        num_empty=counts.count(0),
        num_objects=sum(counts),
        most_objects=max(counts, default=0),
        objects_of=dict(zip(class_names, objects_of, strict=True)),
        images_of=dict(zip(class_names, images_of, strict=True)),
        side_quantiles=_quantiles(np.sqrt(shapes.prod(axis=1))),
        ratio_quantiles=_quantiles(shapes[:, 1] / shapes[:, 0]),
    )


def network_shapes(records: Sequence[ImageRecord], *, edge: int, max_size: int) -> Array:
    """Width and height of every object in pixels of the network's input: (N, 2), all positive."""
    shapes = [np.zeros((0, 2))]
    for record in records:
        boxes = _real_boxes(record).astype(np.float64)
        size = shortest_edge_size(record.size, edge, max_size) if edge else record.size
        scale = np.array([size[1] / record.width, size[0] / record.height])
        shapes.append((boxes[:, 2:] - boxes[:, :2]) * scale)
    joined = np.concatenate(shapes)
    return joined[(joined > 0).all(axis=1)]


def best_anchor_iou(shapes: Array, anchors: Array) -> Array:
    """IoU of each object with its best anchor, both centred alike: (N, 2), (A, 2) -> (N,).

    What training can reach at most: below the matcher's threshold an object is learnt only
    because its best anchor is always kept.
    """
    shared = np.minimum(shapes[:, None], anchors[None]).prod(axis=2)
    union = shapes.prod(axis=1)[:, None] + anchors.prod(axis=1)[None] - shared
    best: Array = (shared / union).max(axis=1, initial=0.0)
    return best


def _real_boxes(record: ImageRecord) -> npt.NDArray[Any]:
    return record.boxes if record.crowd is None else record.boxes[~record.crowd]


def _quantiles(values: Array) -> tuple[float, ...]:
    if not len(values):
        return (0.0,) * len(_QUANTILES)
    return tuple(float(value) for value in np.quantile(values, _QUANTILES))
