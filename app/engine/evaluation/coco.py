"""COCO average precision of boxes, masks and keypoints, computed by faster-coco-eval.

T: IoU thresholds 0.5 .. 0.95, R: recall points, K: classes, A: area ranges, M: detection limits
"""

import logging
import math
from collections.abc import Collection, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster
from pycocotools import mask as coco_mask

from app.engine.errors import ConfigError
from app.engine.evaluation.evaluator import Results
from app.engine.evaluation.instances import (
    ImageInstances,
    InstanceStore,
    ignored,
    object_areas,
)
from app.engine.evaluation.keypoint_sigmas import COCO_OKS_SIGMAS
from app.engine.evaluation.tables import per_class_table, small_table
from app.engine.structures.record import ImageRecord
from app.engine.structures.run_lengths import object_codes

logger = logging.getLogger(__name__)

IouType = Literal["bbox", "segm", "keypoints"]
"""The shapes whose overlap is measured: COCO's `iouType`."""
Annotation = dict[str, Any]

_AREAS = {"bbox": "sml", "segm": "sml", "keypoints": "ml"}


class CocoEvaluator(InstanceStore):
    """AP, AP50, AP75 and AP by size, for each class when there are several.

    Difficult objects are ignored like crowds. A metric is nan without labelled objects, and 0
    without detections.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        class_names: Sequence[str],
        *,
        iou_types: Sequence[IouType] = ("bbox",),
        max_detections: int = 100,
        oks_sigmas: Sequence[float] = (),
    ) -> None:
        super().__init__()
        self.records = records
        self.class_names = list(class_names)
        self.iou_types = sorted(iou_types)
        self.max_detections = max_detections
        self.oks_sigmas = oks_sigmas
        self.recall: dict[str, float] = {}
        """Average recall of each IoU type at the largest detection limit, 0..100."""
        self.class_ap: dict[str, tuple[float, float]] = {}
        """AP and AP50 of each class's boxes, 0..100 or nan."""

    def results(self) -> Results:
        """Return the metrics of each IoU type; log the tables."""
        if not any(len(image) for image in self.images.values()):
            logger.warning("No predictions from the model!")
        return {iou_type: self._evaluate(iou_type) for iou_type in self.iou_types}

    def ap_without(self, left_out: Collection[int | str]) -> dict[str, float]:
        """Return the AP of each IoU type, 0..100 or nan, as if these images were not there."""
        kept = [r for r in self.records if r.image_id in self.images and r.image_id not in left_out]
        return {
            iou_type: _mean(self._precision(iou_type, kept)[:, :, :, 0, -1]) if kept else math.nan
            for iou_type in self.iou_types
        }

    def _evaluate(self, iou_type: IouType) -> dict[str, float]:
        records = [record for record in self.records if record.image_id in self.images]
        if not records:
            return dict.fromkeys(("AP", "AP50", "AP75", *_area_names(iou_type)), math.nan)
        precision = self._precision(iou_type, records)
        if iou_type == "bbox":
            ap, ap50 = (
                class_ap(precision, self.class_names),
                class_ap(precision[:1], self.class_names),
            )
            self.class_ap = {name: (ap[name], ap50[name]) for name in self.class_names}
        return self._report(precision, iou_type)

    def _precision(
        self, iou_type: IouType, records: Sequence[ImageRecord]
    ) -> npt.NDArray[np.float64]:
        """Return the precisions of at least one record: (T, R, K, A, M)."""
        sigmas = self._sigmas() if iou_type == "keypoints" else ()
        gt = coco_dataset(records, self.class_names, iou_type=iou_type, num_keypoints=len(sigmas))
        images = [self.images[record.image_id] for record in records]
        detections = coco_detections(gt, images, iou_type=iou_type)
        evaluation = COCOeval_faster(gt, detections, iou_type, print_function=logger.debug)
        evaluation.params.catIds = list(range(1, len(self.class_names) + 1))
        if iou_type == "keypoints":
            evaluation.params.kpt_oks_sigmas = np.asarray(sigmas)
        else:
            evaluation.params.maxDets = sorted(
                {1, min(10, self.max_detections), self.max_detections}
            )
        evaluation.evaluate()
        evaluation.accumulate()
        self.recall[iou_type] = _mean(np.asarray(evaluation.eval["recall"])[:, :, 0, -1])
        return np.asarray(evaluation.eval["precision"])

    def _sigmas(self) -> Sequence[float]:
        sigmas = self.oks_sigmas or COCO_OKS_SIGMAS
        for record in self.records:
            if record.keypoints is not None and record.keypoints.shape[1] != len(sigmas):
                raise ConfigError(
                    f"TEST.KEYPOINT_OKS_SIGMAS: {len(sigmas)} values for objects with "
                    f"{record.keypoints.shape[1]} keypoints; give one value for each keypoint"
                )
        return sigmas

    def _report(self, precision: npt.NDArray[np.float64], iou_type: IouType) -> dict[str, float]:
        results = summary(precision, _area_names(iou_type))
        logger.info("Evaluation results for %s: \n%s", iou_type, small_table(results))
        if not math.isfinite(sum(results.values())):
            logger.info("Some metrics cannot be computed and is shown as NaN.")
        if len(self.class_names) > 1:
            classes = class_ap(precision, self.class_names)
            logger.info("Per-category %s AP: \n%s", iou_type, per_class_table(classes))
            results.update({f"AP-{name}": value for name, value in classes.items()})
        return results


def summary(precision: npt.NDArray[np.float64], area_names: Sequence[str]) -> dict[str, float]:
    """Return AP, AP50, AP75 and the AP of all area ranges but one: (T, R, K, A, M) -> 0..100."""
    everything = precision[:, :, :, 0, -1]
    results = {"AP": _mean(everything), "AP50": _mean(everything[0]), "AP75": _mean(everything[5])}
    for index, name in enumerate(area_names, start=1):
        results[name] = _mean(precision[:, :, :, index, -1])
    return results


def class_ap(precision: npt.NDArray[np.float64], class_names: Sequence[str]) -> dict[str, float]:
    """AP of each class, 0..100 or nan: (T, R, K, A, M) -> K numbers."""
    return {name: _mean(precision[:, :, k, 0, -1]) for k, name in enumerate(class_names)}


def _area_names(iou_type: IouType) -> list[str]:
    return [f"AP{letter}" for letter in _AREAS[iou_type]]


def _mean(values: npt.NDArray[np.float64]) -> float:
    # -1 marks classes without labelled objects.
    known = values[values > -1]
    return 100 * float(known.mean()) if known.size else math.nan


def coco_dataset(
    records: Sequence[ImageRecord],
    class_names: Sequence[str],
    *,
    iou_type: IouType = "bbox",
    num_keypoints: int = 0,
) -> COCO:
    """Convert labelled objects to COCO's format; images and classes are numbered from 1."""
    annotations: list[Annotation] = []
    for image_id, record in enumerate(records, start=1):
        annotations.extend(_image_annotations(record, image_id, iou_type, num_keypoints))
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    images = [
        {"id": image_id, "height": record.height, "width": record.width}
        for image_id, record in enumerate(records, start=1)
    ]
    return _indexed(images, class_names, annotations)


def _image_annotations(
    record: ImageRecord, image_id: int, iou_type: IouType, num_keypoints: int
) -> list[Annotation]:
    boxes_xywh = _box_to_box_xywh(record.boxes)
    crowd, areas = ignored(record), object_areas(record)
    codes = object_codes(record) if iou_type == "segm" else None
    annotations = []
    for i in range(len(record)):
        annotation: Annotation = {
            "image_id": image_id,
            "category_id": int(record.classes[i]) + 1,
            "bbox": boxes_xywh[i].tolist(),
            "area": float(areas[i]),
            "iscrowd": int(crowd[i]),
        }
        if codes is not None:
            # An object without a mask becomes a region, its box, that is ignored.
            annotation["segmentation"] = codes[i] or [_outline(record.boxes[i])]
            annotation["iscrowd"] |= int(codes[i] is None)
        if iou_type == "keypoints":
            annotation |= _keypoint_fields(record, i, num_keypoints)
        annotations.append(annotation)
    return annotations


def _keypoint_fields(record: ImageRecord, i: int, num_keypoints: int) -> Annotation:
    if record.keypoints is None:
        return {"keypoints": [0.0] * (3 * num_keypoints), "num_keypoints": 0}
    visible = int((record.keypoints[i, :, 2] > 0).sum())
    return {"keypoints": _pixel_indices(record.keypoints[i]), "num_keypoints": visible}


def _pixel_indices(keypoints: npt.NDArray[np.float32]) -> list[float]:
    # COCO's keypoints are pixel indices; the engine's are continuous and larger by 0.5.
    points: list[float] = (keypoints.astype(np.float64) - [0.5, 0.5, 0.0]).ravel().tolist()
    return points


def _outline(box: npt.NDArray[np.float32]) -> list[float]:
    x0, y0, x1, y1 = box.tolist()
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def coco_detections(
    gt: COCO, images: Sequence[ImageInstances], *, iou_type: IouType = "bbox"
) -> COCO:
    """Convert the detections of the images 1, 2, ... of `gt` to COCO's format."""
    annotations: list[Annotation] = []
    for image_id, image in enumerate(images, start=1):
        annotations.extend(_detection_annotations(image, image_id, iou_type))
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    class_names = [category["name"] for category in gt.dataset["categories"]]
    return _indexed(gt.dataset["images"], class_names, annotations)


def _detection_annotations(
    image: ImageInstances, image_id: int, iou_type: IouType
) -> list[Annotation]:
    boxes_xywh = _box_to_box_xywh(image.boxes)
    annotations = []
    for i in range(len(image)):
        box_xywh = boxes_xywh[i].tolist()
        annotation: Annotation = {
            "image_id": image_id,
            "category_id": int(image.classes[i]) + 1,
            "score": float(image.scores[i]),
            "bbox": box_xywh,
            "area": box_xywh[2] * box_xywh[3],
            "iscrowd": 0,
        }
        if iou_type == "segm":
            if image.masks is None:
                continue
            # The area is that of the mask, not that of its box.
            annotation |= {
                "segmentation": image.masks[i],
                "area": float(coco_mask.area(image.masks[i])),
            }
        if iou_type == "keypoints":
            if image.keypoints is None:
                continue
            annotation["keypoints"] = _pixel_indices(image.keypoints[i])
        annotations.append(annotation)
    return annotations


def _indexed(
    images: list[Annotation], class_names: Sequence[str], annotations: list[Annotation]
) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": k, "name": name} for k, name in enumerate(class_names, start=1)],
    }
    coco.createIndex()
    return coco


def _box_to_box_xywh(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    boxes_xywh = boxes.astype(np.float64)
    boxes_xywh[:, 2:] -= boxes_xywh[:, :2]
    return boxes_xywh
