"""Writes detections to files in COCO's formats, under the names of detectron2's files.

The writers are evaluators without metrics: `add` collects every image, `results` writes the file.
"""

import json
import logging
import pickle
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from app.engine.data.datasets.dataset import Dataset
from app.engine.evaluation.coco_results import write_coco_results
from app.engine.evaluation.evaluator import ByImage, Evaluator, Results
from app.engine.evaluation.instances import ImageInstances, InstanceStore, encode_masks
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord
from common.files import write_atomically

logger = logging.getLogger(__name__)


def result_files(
    directory: Path, found: Collection[str], dataset: Dataset, *, store: InstanceStore | None
) -> list[Evaluator]:
    """Return the writers for all results of a model.

    found  the kinds of results: bbox, sem_seg, ...
    store  the evaluator that keeps the instances; None: the writer keeps them
    """
    writers: list[Evaluator] = []
    if "box_proposals" in found:
        writers.append(ProposalFile(directory / "box_proposals.pkl"))
    if "bbox" in found:
        kind = "lvis" if dataset.evaluation == "lvis" else "coco"
        path = directory / f"{kind}_instances_results.json"
        writers.append(InstanceFile(path, category_ids(dataset), store, dataset.absent))
    if "sem_seg" in found:
        path = directory / "sem_seg_predictions.json"
        writers.append(SemanticFile(path, [0, *dataset.stuff_ids] if dataset.stuff_ids else None))
    if "panoptic_seg" in found:
        writers.append(PanopticFiles(directory / "predictions.json", dataset))
    return writers


def category_ids(dataset: Dataset) -> list[int]:
    """Return the data set's ids of its classes; numbers from 1 if it has none."""
    return dataset.category_ids or list(range(1, len(dataset.class_names) + 1))


class _FileWriter(ByImage[Any]):
    """Collects the data of each image for one file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def _log(self) -> None:
        logger.info("Saved results of %d images to %s", len(self.images), self.path)


class InstanceFile(_FileWriter):
    """Boxes with scores, masks and keypoints: COCO's results format.

    store   the evaluator that keeps the instances; None: this object keeps them
    absent  classes that the data set does not have: detections of them are left out
    """

    def __init__(
        self,
        path: Path,
        category_ids: Sequence[int],
        store: InstanceStore | None,
        absent: Collection[int] = (),
    ) -> None:
        super().__init__(path)
        self.absent = np.array(sorted(absent), dtype=np.int64)
        self.category_ids = category_ids
        self.store = InstanceStore() if store is None else store
        self._owns_store = store is None

    def add(self, record: ImageRecord, detections: Detections) -> None:
        """Keep one image's instances, unless an evaluator does so."""
        if self._owns_store:
            self.store.add(record, detections)
            self.images = self.store.images

    def results(self) -> Results:
        """No numbers; writes the file."""
        images = self.images if self._owns_store else self.store.images
        if len(self.absent):
            images = self._without_absent(images)
        write_coco_results(self.path, images, self.category_ids)
        logger.info("Saved results of %d images to %s", len(images), self.path)
        return {}

    def _without_absent(
        self, images: Mapping[int | str, ImageInstances]
    ) -> dict[int | str, ImageInstances]:
        kept = {
            image_id: image.select(np.flatnonzero(~np.isin(image.classes, self.absent)))
            for image_id, image in images.items()
        }
        num_left_out = sum(map(len, images.values())) - sum(map(len, kept.values()))
        logger.info(
            "%d detections of classes that the data set does not have are not in %s",
            num_left_out,
            self.path,
        )
        return kept


class ProposalFile(_FileWriter):
    """Class-agnostic boxes with logits, in the format of DATASETS.PROPOSAL_FILES_*."""

    def add(self, record: ImageRecord, detections: Detections) -> None:
        """Keep one image's proposals."""
        boxes = detections.boxes.detach().float().cpu().numpy()
        self.images[record.image_id] = boxes, detections.scores.detach().float().cpu().numpy()

    def results(self) -> Results:
        """Write the file: a table of lists, with boxes as corners (`bbox_mode` 0)."""
        table = {
            "ids": list(self.images),
            "boxes": [boxes for boxes, _ in self.images.values()],
            "objectness_logits": [logits for _, logits in self.images.values()],
            "bbox_mode": 0,
        }
        write_atomically(self.path, pickle.dumps(table))
        self._log()
        return {}


class SemanticFile(_FileWriter):
    """One run-length code for each class of an image: COCO's stuff format.

    label_ids  the data set's id of each label; None: the labels themselves
    """

    def __init__(self, path: Path, label_ids: Sequence[int] | None) -> None:
        super().__init__(path)
        self.label_ids = label_ids

    def add(self, record: ImageRecord, detections: Detections) -> None:
        """Encode one image's label map."""
        assert detections.semantic is not None
        labels = detections.semantic.argmax(dim=0)
        found = torch.unique(labels)
        codes = encode_masks(labels[None] == found[:, None, None])
        ids = found.tolist()
        if self.label_ids is not None:
            ids = [self.label_ids[label] for label in ids]
        self.images[record.image_id] = [
            {"file_name": str(record.path), "category_id": category, "segmentation": code}
            for category, code in zip(ids, codes, strict=True)
        ]

    def results(self) -> Results:
        """No numbers; writes the file."""
        entries = [entry for image in self.images.values() for entry in image]
        write_atomically(self.path, json.dumps(entries))
        self._log()
        return {}


class PanopticFiles(_FileWriter):
    """COCO's panoptic format: a JSON file, and a folder of its name with a PNG for each image.

    Neither is written if instances and stuff are not merged (PANOPTIC_FPN.COMBINE).
    """

    def __init__(self, path: Path, dataset: Dataset) -> None:
        super().__init__(path)
        self.thing_ids, self.stuff_ids = category_ids(dataset), dataset.stuff_ids
        names = [*dataset.class_names, *dataset.stuff_names[1:]]
        self.categories = [
            {"id": category, "name": name, "isthing": int(row < len(self.thing_ids))}
            for row, (category, name) in enumerate(
                zip([*self.thing_ids, *self.stuff_ids], names, strict=True)
            )
        ]

    def add(self, record: ImageRecord, detections: Detections) -> None:
        """Write one image's PNG and keep the description of its segments."""
        if detections.panoptic is None:
            return
        segments, described = detections.panoptic
        name = f"{record.path.stem}.png"
        folder = self.path.with_suffix("")
        folder.mkdir(parents=True, exist_ok=True)
        ids = segments.cpu().numpy().astype(np.uint32)
        # Red holds the lowest byte.
        pixels = np.stack((ids, ids >> 8, ids >> 16), axis=2).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
        image = {"id": record.image_id, "file_name": record.path.name}
        self.images[record.image_id] = (
            image | {"height": record.height, "width": record.width},
            {
                "image_id": record.image_id,
                "file_name": name,
                "segments_info": [self._in_dataset(info) for info in described],
            },
        )

    def _in_dataset(self, info: dict[str, Any]) -> dict[str, Any]:
        label = int(info["category_id"])
        category = self.thing_ids[label] if info["isthing"] else self.stuff_ids[label - 1]
        rest = {key: value for key, value in info.items() if key != "isthing"}
        return rest | {"category_id": category}

    def results(self) -> Results:
        """No numbers; writes the file."""
        if not self.images:
            return {}
        content = {
            "images": [image for image, _ in self.images.values()],
            "annotations": [annotation for _, annotation in self.images.values()],
            "categories": self.categories,
        }
        write_atomically(self.path, json.dumps(content))
        self._log()
        return {}
