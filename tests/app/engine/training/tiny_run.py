"""A training run that takes a second: coloured squares on grey, a detector of four layers.

Also a program, for tests that kill it: `python tiny_run.py OUTPUT_DIR [KEY VALUE ...]`.
"""

import logging
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.config import CfgNode, load_config
from app.engine.config.declared import ARCHITECTURES
from app.engine.config.support import CHOICES
from app.engine.modeling.build import META_ARCHITECTURES
from app.engine.modeling.detector import Detector
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord
from app.engine.structures.sample import Sample
from app.engine.training.request import TrainRequest
from app.engine.training.summary import TrainSummary
from app.engine.training.train import train

CLASS_NAMES = ["red", "green"]
CONFIG = Path(__file__).parents[4] / "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml"


class TinyDetector(Detector):
    """One class score and one box side for each cell of 8 pixels.

    It has what makes resuming hard: batch norm, random sampling, and a loss normaliser.
    """

    def __init__(self) -> None:
        super().__init__(pixel_mean=[128.0] * 3, pixel_std=[64.0] * 3, size_divisibility=8)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=4, padding=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.cls_score = nn.Conv2d(16, len(CLASS_NAMES), 3, padding=1)
        self.side = nn.Conv2d(16, 1, 3, padding=1)
        self.normalizer = 10.0

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "TinyDetector":
        """Nothing to configure."""
        return cls()

    def _predict(self, samples: list[Sample]) -> tuple[Tensor, Tensor]:
        features = self.body(self.preprocess(samples).tensor)
        return self.cls_score(features), F.softplus(self.side(features)) * 8

    def losses(self, samples: list[Sample]) -> dict[str, Tensor]:
        """Binary cross entropy on a random half of the cells, and a side for cells of objects."""
        logits, sides = self._predict(samples)
        wanted, lengths = torch.zeros_like(logits), torch.zeros_like(sides)
        for index, sample in enumerate(samples):
            truth = sample.ground_truth.to(logits.device)
            centers = ((truth.boxes[:, :2] + truth.boxes[:, 2:]) / 16).long()
            x, y = centers.clamp(min=0).unbind(1)
            wanted[index, truth.classes, y, x] = 1
            lengths[index, 0, y, x] = truth.boxes[:, 2] - truth.boxes[:, 0]
        if self.training:
            self.normalizer = 0.9 * self.normalizer + 0.1 * float(wanted.sum())
        chosen = torch.randperm(logits.numel(), device=logits.device)[: logits.numel() // 2]
        difference = F.binary_cross_entropy_with_logits(
            logits.float().flatten()[chosen], wanted.float().flatten()[chosen], reduction="sum"
        )
        objects = lengths > 0
        distance = ((sides - lengths)[objects] / 16).float().abs().sum()
        return {"loss_cls": difference / self.normalizer, "loss_side": distance / self.normalizer}

    def detect(self, samples: list[Sample]) -> list[Detections]:
        """The ten best cells of each image."""
        logits, sides = self._predict(samples)
        results = []
        for sample, scores, side in zip(samples, logits.float().sigmoid(), sides, strict=True):
            best, index = scores.flatten().topk(10)
            cell = index % scores[0].numel()
            height = scores.shape[1]
            centers = torch.stack((cell % scores.shape[2], cell // scores.shape[2]), 1) * 8.0 + 4
            half = side.float().flatten()[cell][:, None] / 2
            boxes = torch.cat((centers - half, centers + half), 1)
            ratio = sample.original_size[0] / sample.size[0]
            classes = index // (height * scores.shape[2])
            results.append(Detections(sample.original_size, boxes * ratio, best, classes))
        return results

    def dense_class_probs(self, samples: list[Sample]) -> list[Tensor]:
        """Not asked for in training."""
        return []

    def training_state(self) -> dict[str, float]:
        """The normaliser."""
        return {"normalizer": self.normalizer}

    def load_training_state(self, state: dict[str, float]) -> None:
        """Take it up."""
        self.normalizer = state["normalizer"]


def register() -> None:
    """Make configs know the detector by its name."""
    META_ARCHITECTURES["TinyDetector"] = TinyDetector
    ARCHITECTURES["TinyDetector"] = ARCHITECTURES["RetinaNet"]
    known = CHOICES["MODEL.META_ARCHITECTURE"]
    CHOICES["MODEL.META_ARCHITECTURE"] = tuple(dict.fromkeys([*known, "TinyDetector"]))


def tiny_config(*overrides: str) -> CfgNode:
    """Ten iterations of two 64-pixel images."""
    settings = {
        "MODEL.WEIGHTS": "",
        "MODEL.DEVICE": "cpu",
        "MODEL.META_ARCHITECTURE": "TinyDetector",
        "MODEL.RETINANET.NUM_CLASSES": "2",
        "MODEL.RETINANET.NUM_CONVS": "1",
        "MODEL.FPN.OUT_CHANNELS": "16",
        "INPUT.MIN_SIZE_TRAIN": "(64,)",
        "INPUT.MIN_SIZE_TEST": "64",
        "SOLVER.IMS_PER_BATCH": "2",
        "SOLVER.MAX_ITER": "10",
        "SOLVER.STEPS": "(8,)",
        "SOLVER.WARMUP_ITERS": "3",
        "SOLVER.BASE_LR": "0.01",
        "SOLVER.OPTIMIZER": "SGD",
        "SOLVER.LR_SCHEDULER_NAME": "WarmupMultiStepLR",
        "SOLVER.EMA.ENABLED": "True",
        "TEST.EVAL_PERIOD": "5",
        "DATALOADER.NUM_WORKERS": "0",
        "SEED": "7",
    }
    flat = [text for pair in settings.items() for text in pair]
    register()
    cfg = load_config(CONFIG, [*flat, *overrides])
    cfg.freeze()
    return cfg


def tiny_records(directory: Path, number: int, *, seed: int = 0) -> list[ImageRecord]:
    """Images with one to three squares each; made once, then found again."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    records = []
    for index in range(number):
        path = directory / f"{seed}_{index}.png"
        pixels = rng.integers(90, 140, (64, 80, 3), dtype=np.uint8)
        boxes, classes = [], []
        for _ in range(int(rng.integers(1, 4))):
            x, y = rng.integers(0, 50), rng.integers(0, 36)
            side, k = int(rng.integers(12, 28)), int(rng.integers(0, 2))
            pixels[y : y + side, x : x + side] = (220, 30, 30) if k == 0 else (30, 220, 30)
            boxes.append([x, y, min(80, x + side), min(64, y + side)])
            classes.append(k)
        if not path.exists():
            Image.fromarray(pixels).save(path)
        records.append(
            ImageRecord(path, 64, 80, np.array(boxes, np.float32), np.array(classes), index)
        )
    return records


def tiny_train(output_dir: Path, cfg: CfgNode, **options: object) -> TrainSummary:
    """Train on eight images, evaluate on four; `options` are fields of the request."""
    register()
    torch.set_num_threads(1)  # sums in the same order everywhere
    images = output_dir.parent / "images"
    fields = {"val_records": tiny_records(images, 4, seed=1), "resume": True, **options}
    return train(TrainRequest(cfg, tiny_records(images, 8), CLASS_NAMES, output_dir, **fields))


def _slowly() -> bool:
    """Never stop, but leave time for being killed."""
    time.sleep(0.1)
    return False


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    config = tiny_config(*sys.argv[2:])
    tiny_train(Path(sys.argv[1]), config, checkpoint_seconds=0.0, should_stop=_slowly)
