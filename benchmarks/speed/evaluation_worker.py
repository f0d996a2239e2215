"""One way to compute average precision, in one process.

    PYTHON -m benchmarks.speed.evaluation_worker ours|pycocotools|d2 ARRAYS

"run" evaluates and answers with the time, the 12 numbers of COCO (0..1) and the AP of each class;
any other line ends the process.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.serving import Answers, serve, timed

Arrays = dict[str, Any]
Prepared = Callable[[], Callable[[], tuple[Any, Any]]]
"""The timed function; it returns an untimed one for the 12 numbers and each class's AP."""

_WIDTH, _HEIGHT = 640, 480


def load(arguments: list[str]) -> Answers:
    """Load a way and its detections."""
    kind, path = arguments
    run = WAYS[kind](dict(np.load(path)))

    def answer(question: str) -> dict[str, Any] | None:
        if question != "run":
            return None
        numbers, figures = timed(run)
        stats, classes = map(np.asarray, numbers())
        return {**figures, "stats": stats.tolist(), "classes": classes.tolist()}

    return answer


def _ours(arrays: Arrays) -> Prepared:
    import torch

    from app.engine.evaluation.coco import CocoEvaluator, coco_dataset, coco_detections
    from app.engine.structures.detections import Detections
    from app.engine.structures.record import ImageRecord

    names = _names()
    records = [
        ImageRecord(
            Path(f"{i}.jpg"),
            _HEIGHT,
            _WIDTH,
            arrays["gt_box"][rows],
            arrays["gt_class"][rows],
            image_id=i,
        )
        for i, rows in _by_image(arrays, "gt_image")
    ]
    found = [
        Detections(
            (_HEIGHT, _WIDTH),
            boxes=torch.from_numpy(arrays["boxes"][rows]),
            scores=torch.from_numpy(arrays["scores"][rows]),
            classes=torch.from_numpy(arrays["classes"][rows]),
        )
        for _, rows in _by_image(arrays, "image")
    ]

    def run() -> Any:
        evaluator = CocoEvaluator(records, names)
        for record, detections in zip(records, found, strict=True):
            evaluator.add(record, detections)
        metrics = evaluator.results()["bbox"]
        return lambda: (twelve(evaluator), [metrics[f"AP-{name}"] / 100 for name in names])

    def twelve(evaluator: CocoEvaluator) -> Any:
        from faster_coco_eval import COCOeval_faster

        # The product reports fewer; the rest comes from the same data once more.
        gt = coco_dataset(records, names)
        images = [evaluator.images[record.image_id] for record in records]
        evaluation = COCOeval_faster(gt, coco_detections(gt, images), "bbox")
        evaluation.run()
        return evaluation.stats[:12]

    return run


def _pycocotools(arrays: Arrays) -> Prepared:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    gt, detections = _labels(arrays), _results(arrays)

    def run() -> Any:
        coco = COCO()
        coco.dataset = gt
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return lambda: (evaluation.stats, _class_ap(evaluation.eval["precision"]))

    return run


def _detectron2(arrays: Arrays) -> Prepared:
    import torch
    from detectron2.data import DatasetCatalog, MetadataCatalog
    from detectron2.evaluation import COCOEvaluator
    from detectron2.structures import Boxes, Instances

    folder = tempfile.mkdtemp()
    labels = Path(folder) / "labels.json"
    labels.write_text(json.dumps(_labels(arrays)))
    DatasetCatalog.register("drawn", list)
    numbers = {k: k - 1 for k in range(1, len(_names()) + 1)}
    MetadataCatalog.get("drawn").set(
        json_file=str(labels),
        thing_classes=_names(),
        thing_dataset_id_to_contiguous_id=numbers,
    )
    outputs = []
    for i, rows in _by_image(arrays, "image"):
        instances = Instances((_HEIGHT, _WIDTH))
        instances.pred_boxes = Boxes(torch.from_numpy(arrays["boxes"][rows]))
        instances.scores = torch.from_numpy(arrays["scores"][rows])
        instances.pred_classes = torch.from_numpy(arrays["classes"][rows])
        outputs.append(({"image_id": i + 1}, {"instances": instances}))
    evaluator = COCOEvaluator("drawn", ("bbox",), distributed=False, output_dir=folder)

    def run() -> Any:
        evaluator.reset()
        for given, found in outputs:
            evaluator.process([given], [found])
        metrics = evaluator.evaluate()["bbox"]
        six = np.array([metrics[n] for n in ("AP", "AP50", "AP75", "APs", "APm", "APl")]) / 100
        return lambda: (
            # detectron2 keeps only the six precisions; the recalls are always pycocotools'.
            np.concatenate((six, np.full(6, np.nan))),
            np.array([metrics[f"AP-{name}"] for name in _names()]) / 100,
        )

    return run


def _names() -> list[str]:
    return [f"class{k:02}" for k in range(80)]


def _by_image(arrays: Arrays, column: str) -> Iterator[tuple[int, slice]]:
    """The rows of each image."""
    ends = np.searchsorted(arrays[column], np.arange(int(arrays["num_images"]) + 1))
    for i in range(int(arrays["num_images"])):
        yield i, slice(int(ends[i]), int(ends[i + 1]))


def _labels(arrays: Arrays) -> dict[str, Any]:
    """The labels in COCO's format; images and classes are numbered from 1."""
    rows = zip(arrays["gt_image"], arrays["gt_class"], _xywh(arrays["gt_box"]), strict=True)
    return {
        "info": {},
        "images": [
            {"id": i + 1, "width": _WIDTH, "height": _HEIGHT, "file_name": f"{i}.jpg"}
            for i in range(int(arrays["num_images"]))
        ],
        "categories": [{"id": k, "name": name} for k, name in enumerate(_names(), start=1)],
        "annotations": [
            {
                "id": number,
                "image_id": int(image) + 1,
                "category_id": int(of_class) + 1,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            for number, (image, of_class, box) in enumerate(rows, start=1)
        ],
    }


def _results(arrays: Arrays) -> list[dict[str, Any]]:
    columns = (arrays["image"], arrays["classes"], _xywh(arrays["boxes"]), arrays["scores"])
    return [
        {"image_id": int(i) + 1, "category_id": int(k) + 1, "bbox": box, "score": float(score)}
        for i, k, box, score in zip(*columns, strict=True)
    ]


def _xywh(boxes: Any) -> list[list[float]]:
    boxes_xywh = boxes.astype(np.float64)
    boxes_xywh[:, 2:] -= boxes_xywh[:, :2]
    result: list[list[float]] = boxes_xywh.tolist()
    return result


def _class_ap(precision: Any) -> Any:
    """(T, R, K, A, M) -> (K,)."""
    return precision[:, :, :, 0, -1].mean(axis=(0, 1))


WAYS: dict[str, Callable[[Arrays], Prepared]] = {
    "ours": _ours,
    "pycocotools": _pycocotools,
    "d2": _detectron2,
}


if __name__ == "__main__":
    serve(lambda: load(sys.argv[1:]))
