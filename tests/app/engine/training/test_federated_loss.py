"""The federated loss draws classes by how many training images show them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from app.engine.config import load_config
from app.engine.data.datasets.filters import count_images
from app.engine.structures.record import ImageRecord
from app.engine.training.request import TrainRequest
from app.engine.training.train import train

CONFIG = Path(__file__).parents[4] / "configs/Mobile/faster_rcnn_mobilenetv2_FPN_light.yaml"
SETTINGS = {
    "MODEL.DEVICE": "cpu",
    "MODEL.WEIGHTS": "",
    "MODEL.ROI_HEADS.NUM_CLASSES": "3",
    "MODEL.ROI_BOX_HEAD.USE_FED_LOSS": "True",
    "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE": "True",
    "MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES": "2",
    "INPUT.MIN_SIZE_TRAIN": "(64,)",
    "SOLVER.IMS_PER_BATCH": "1",
    "SOLVER.MAX_ITER": "1",
    "DATALOADER.NUM_WORKERS": "0",
}


def record(path: Path, classes: list[int], crowd: list[bool] | None = None) -> ImageRecord:
    boxes = np.tile(np.array([[5, 5, 40, 40]], np.float32), (len(classes), 1))
    found = ImageRecord(path, 64, 96, boxes, np.array(classes, np.int64), path.name)
    found.crowd = None if crowd is None else np.array(crowd)
    return found


def test_images_count_once_and_crowds_do_not() -> None:
    records = [record(Path("a"), [0, 0, 2]), record(Path("b"), [0, 1], [False, True])]
    assert count_images(records, 3).tolist() == [2, 0, 1]
    assert count_images([], 2).tolist() == [0, 0]


def test_training_tells_the_model_its_counts(tmp_path: Path) -> None:
    cfg = load_config(CONFIG, [part for pair in SETTINGS.items() for part in pair])
    records = []
    for number, classes in enumerate(([0, 0], [0, 1], [0], [0])):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((64, 96, 3), 40 * number, np.uint8)).save(path)
        records.append(record(path, classes))
    saved = []
    train(TrainRequest(cfg, records, ["a", "b", "c"], tmp_path / "run", on_model=saved.append))
    state = torch.load(saved[-1].weights, weights_only=True)["model"]
    odds = torch.as_tensor(state["roi_heads.box_predictor.fed_loss_cls_weights"])
    torch.testing.assert_close(odds, torch.tensor([2.0, 1.0, 0.0]))
