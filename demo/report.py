"""The results of the demo: average precision on unseen tiles, and a picture of detections."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from app.engine.drawing import Marks, contact_sheet, draw
from app.engine.evaluation.coco import CocoEvaluator
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord
from demo.tiles import TILE, Tile


def read_detections(infer_result: Path, class_names: Sequence[str]) -> dict[str, Detections]:
    """infer-result.json -> detections by image name, best first."""
    found = {}
    for name, entry in json.loads(infer_result.read_text(encoding="utf-8"))["detection"].items():
        items = sorted(entry["boxes"], key=lambda item: -float(item["score"]))
        boxes_xywh = [[item["box"][key] for key in "xywh"] for item in items]
        boxes = torch.tensor(boxes_xywh, dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        scores = torch.tensor([float(item["score"]) for item in items])
        classes = torch.tensor([class_names.index(item["class_name"]) for item in items])
        found[name] = Detections((TILE, TILE), boxes, scores, classes.to(torch.int64))
    return found


def average_precision(
    labelled: dict[str, Tile], found: dict[str, Detections], class_names: Sequence[str]
) -> dict[str, float]:
    """COCO's 'AP', 'AP50', ... (0..100) over labelled tiles, by asset name."""
    records = [_record(name, tile) for name, tile in labelled.items()]
    evaluator = CocoEvaluator(records, class_names)
    for record in records:
        evaluator.add(record, found[str(record.image_id)])
    return evaluator.results()["bbox"]


def picture(
    tiles: dict[str, Tile],
    found: dict[str, Detections],
    class_names: Sequence[str],
    *,
    score_thresh: float,
    path: Path,
) -> None:
    """Write a contact sheet of tiles with their detections as a JPEG file."""
    drawn = [
        draw(
            tile.image,
            Marks.of(found[name], at_least=score_thresh),
            class_names,
            min_side=2 * TILE,
        )
        for name, tile in tiles.items()
    ]
    contact_sheet(drawn, columns=3, cell=(600, 600)).save(path, quality=88)


def _record(name: str, tile: Tile) -> ImageRecord:
    return ImageRecord(
        path=Path(name),
        height=TILE,
        width=TILE,
        boxes=_half_open(tile),
        classes=np.zeros(len(tile.boxes), dtype=np.int64),
        image_id=name,
    )


def _half_open(tile: Tile) -> npt.NDArray[np.float32]:
    """(G, 4) boxes whose maxima lie one pixel after the last."""
    boxes = np.array(tile.boxes, dtype=np.float32).reshape(-1, 4)
    boxes[:, 2:] += 1
    return boxes
