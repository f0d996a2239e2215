"""detectron2 as its `DefaultPredictor` runs it: resizing by PIL, one image, fp32."""

import logging
import warnings
from typing import Any

import torch
from torch import nn

from benchmarks.speed.engines import Array, Engine, Workload
from verification.parity.weights import C4, ONE_CLASS, make_state_dict

OVERRIDES = {"faster_rcnn_R_50_C4_1x": C4, "keypoint_rcnn_R_50_FPN_1x": ONE_CLASS}


def load(workload: Workload, precision: str) -> Engine:
    """Return a function from an image to its detections."""
    model = build_model(workload, precision)[0].eval()
    from detectron2.data import transforms

    resize = transforms.ResizeShortestEdge([workload.short, workload.short], workload.max_size)

    def detect(image: Array) -> dict[str, Array]:
        height, width = image.shape[:2]
        pixels = resize.get_transform(image).apply_image(image)
        tensor = torch.as_tensor(pixels.astype("float32").transpose(2, 0, 1))
        with torch.no_grad():
            found: Any = model([{"image": tensor, "height": height, "width": width}])[0]
        return _arrays(found["instances"])

    return detect


def build_model(workload: Workload, precision: str) -> tuple[nn.Module, Any]:
    """The model with seeded weights, and its config; mixed precision needs a GPU."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    from detectron2 import model_zoo, modeling

    if precision != "fp32":
        raise ValueError("detectron2 knows fp32 only on a CPU")
    torch.set_num_threads(workload.threads)
    cfg = model_zoo.get_config(workload.file, trained=False)
    cfg.MODEL.DEVICE = "cpu"
    model = modeling.build_model(cfg)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    model.load_state_dict(make_state_dict(shapes, overrides=OVERRIDES.get(workload.config, ())))
    return model, cfg


def _arrays(found: Any) -> dict[str, Array]:
    result = {
        "boxes": found.pred_boxes.tensor.numpy(),
        "scores": found.scores.numpy(),
        "classes": found.pred_classes.numpy(),
    }
    if found.has("pred_masks"):
        result["masks"] = found.pred_masks.numpy()
    return result
