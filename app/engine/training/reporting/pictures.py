"""Pictures for TensorBoard: training samples with their labels, and detections."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from app.engine.drawing import Marks, contact_sheet, draw
from app.engine.structures.boxes import scale
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord
from app.engine.structures.sample import Sample

Picture = npt.NDArray[np.uint8]

_CELL = (480, 640)
_MAX_SAMPLES = 9  # of a training batch
_MAX_IMAGES = 6  # of an evaluation
_SCORE_THRESH = 0.3


class PictureBook:
    """Draws samples of one data set.

    image_format  channels of the samples, as INPUT.FORMAT says
    """

    def __init__(self, class_names: Sequence[str], *, image_format: str) -> None:
        self.class_names = class_names
        self.image_format = image_format

    def training_batch(self, samples: Sequence[Sample]) -> Picture:
        """Draw samples as the network gets them, with their labels."""
        pictures = []
        for sample in samples[:_MAX_SAMPLES]:
            truth = sample.ground_truth
            labels = Marks.of(Detections.empty(sample.size))
            if truth is not None:
                labels = Marks(truth.boxes.cpu().numpy(), truth.classes.cpu().numpy())
            pictures.append(draw(self._picture(sample), labels, self.class_names))
        return _sheet(pictures)

    def detections(self, sample: Sample, found: Detections, record: ImageRecord) -> Image.Image:
        """Draw the detections in one image, and its labels as dashed outlines."""
        height, width = sample.size
        ratio_y, ratio_x = height / sample.original_size[0], width / sample.original_size[1]
        boxes = scale(found.boxes.cpu().float(), ratio_x, ratio_y)
        gt_boxes = scale(torch.from_numpy(record.boxes), ratio_x, ratio_y).numpy()
        placed = replace(found.to("cpu"), boxes=boxes, keypoints=None, class_probs=None)
        return draw(
            self._picture(sample),
            Marks.of(placed, at_least=_SCORE_THRESH),
            self.class_names,
            labelled=Marks(gt_boxes, record.classes),
        )

    def _picture(self, sample: Sample) -> Image.Image:
        pixels = sample.image.cpu().float().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
        in_rgb = pixels if self.image_format == "RGB" else pixels[..., ::-1]
        return Image.fromarray(np.ascontiguousarray(in_rgb))


def _sheet(pictures: Sequence[Image.Image]) -> Picture:
    return np.array(contact_sheet(pictures, cell=_CELL))


class Collector:
    """Keeps pictures of the first few images of an evaluation."""

    def __init__(self, book: PictureBook, records: Sequence[ImageRecord]) -> None:
        self.book = book
        # Prefer images with objects: the others show little.
        chosen = [record for record in records if len(record)] or list(records)
        self.records = {record.image_id: record for record in chosen[:_MAX_IMAGES]}
        self.pictures: list[Image.Image] = []

    def __call__(self, samples: list[Sample], detections: list[Detections]) -> None:
        """Draw the images of one batch that are among the chosen ones."""
        for sample, found in zip(samples, detections, strict=True):
            record = self.records.get(sample.image_id)
            if record is not None:
                self.pictures.append(self.book.detections(sample, found, record))

    def sheet(self) -> Picture | None:
        """Return all pictures in one; None if there are none."""
        return _sheet(self.pictures) if self.pictures else None
