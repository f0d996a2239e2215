"""python -m verification.parity.record [NAME ...]: write goldens with detectron2.

This needs an environment with detectron2 and this repository; detectron2's compiled extension is
not needed. Tests use only the files that it writes.
"""

import sys
import warnings
from typing import Any

import detectron2.modeling.backbone.resnet
import numpy as np
import torch
from detectron2 import model_zoo
from detectron2.config import CfgNode, instantiate
from detectron2.data import MetadataCatalog
from detectron2.modeling import GeneralizedRCNNWithTTA, build_model
from detectron2.structures import Boxes, Instances, Keypoints, PolygonMasks
from detectron2.utils.events import EventStorage
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from verification import REPOSITORY
from verification.parity.golden import Array, Labels, Recipe, save
from verification.parity.recipes import RECIPES
from verification.parity.scenes import Image, image_counts, proposals
from verification.parity.variants import VARIANTS
from verification.parity.weights import fill


class DeformConv(nn.Module):
    """Stands in for the two convolutions of detectron2's compiled extension."""

    def __init__(self, channels: int, out_channels: int, kernel_size: int, **options: Any) -> None:
        super().__init__()
        size = (out_channels, channels // options.pop("groups", 1), kernel_size, kernel_size)
        self.weight = nn.Parameter(torch.zeros(size))
        self.bias = None
        self.norm: nn.Module = options.pop("norm")
        self.options = {key: options[key] for key in ("stride", "padding", "dilation")}

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        """Call torchvision's operator for both; the shapes give the number of deformable groups."""
        y: Tensor = self.norm(deform_conv2d(x, offset, self.weight, mask=mask, **self.options))
        return y


detectron2.modeling.backbone.resnet.DeformConv = DeformConv
detectron2.modeling.backbone.resnet.ModulatedDeformConv = DeformConv

TARGET = REPOSITORY / "tests" / "parity"


def main() -> None:
    """Record the named configs, or all."""
    warnings.filterwarnings("ignore")
    for name in sys.argv[1:] or [*RECIPES, *VARIANTS]:
        recipe = RECIPES.get(name) or VARIANTS[name]
        path = (TARGET if name in RECIPES else TARGET / "variants") / f"{name}.npz"
        cases = [_detect(recipe, i) for i in range(len(recipe.sizes))]
        losses, gradients = _train(recipe)
        save(path, recipe, cases=cases, losses=losses, gradients=gradients)
        counts = [len(case.get("scores", ())) for case in cases]
        sys.stdout.write(f"{name}: detections {counts}, losses {losses}\n")
        sys.stdout.flush()


def _build(recipe: Recipe, opts: list[Any]) -> nn.Module:
    lazy = recipe.config.endswith(".py")
    cfg = model_zoo.get_config(recipe.config, trained=False)
    model: nn.Module
    if lazy:
        model = instantiate(cfg.model)
    else:
        assert isinstance(cfg, CfgNode)
        cfg.MODEL.DEVICE = "cpu"
        cfg.merge_from_list([*recipe.opts, *opts])
        _register(cfg)
        model = build_model(cfg)
    fill(model, overrides=recipe.overrides)
    return GeneralizedRCNNWithTTA(cfg, model) if not lazy and cfg.TEST.AUG.ENABLED else model


def _register(cfg: CfgNode) -> None:
    """Register the data set whose class frequencies the federated loss uses."""
    counts = image_counts(cfg.MODEL.ROI_HEADS.NUM_CLASSES)
    rows = [{"id": i, "image_count": count} for i, count in enumerate(counts)]
    cfg.DATASETS.TRAIN = ("parity",)
    MetadataCatalog.pop("parity", None)
    MetadataCatalog.get("parity").class_image_count = rows


def _detect(recipe: Recipe, index: int) -> dict[str, Array]:
    model = _build(recipe, []).eval()
    height, width = recipe.sizes[index][2:]
    image = torch.from_numpy(recipe.image(index).transpose(2, 0, 1).copy())
    inputs = {"image": image, "height": height, "width": width}
    if "fast_rcnn" in recipe.config:
        inputs["proposals"] = _proposals(recipe.image(index))
    with torch.no_grad():
        output = model([inputs])[0]
    return _arrays(output)


def _arrays(output: dict[str, Any]) -> dict[str, Array]:
    result: dict[str, Array] = {}
    if "proposals" in output:
        found = output["proposals"]
        result["boxes"] = found.proposal_boxes.tensor.numpy()
        result["scores"] = found.objectness_logits.numpy()
        result["classes"] = np.zeros(len(found), dtype=np.int16)
    if "instances" in output:
        found = output["instances"]
        result["boxes"] = found.pred_boxes.tensor.numpy()
        result["scores"] = found.scores.numpy()
        result["classes"] = found.pred_classes.numpy().astype(np.int16)
        if found.has("pred_masks"):
            result["masks"] = found.pred_masks.numpy()
        if found.has("pred_keypoints"):
            result["keypoints"] = found.pred_keypoints.numpy()
    if "sem_seg" in output:
        best = output["sem_seg"].topk(2, dim=0).values
        result["semantic"] = output["sem_seg"].argmax(dim=0).numpy().astype(np.uint8)
        # Pixels of nearly equal classes are left out of the comparison.
        result["semantic_sure"] = (best[0] - best[1] > 0.01).numpy()
    if "panoptic_seg" in output:
        segments, about = output["panoptic_seg"]
        result["panoptic"] = segments.numpy().astype(np.uint16)
        result["panoptic_things"] = np.asarray([s["isthing"] for s in about], dtype=bool)
        result["panoptic_classes"] = np.asarray([s["category_id"] for s in about], dtype=np.int16)
    return result


def _train(recipe: Recipe) -> tuple[list[dict[str, float]], dict[str, tuple[float, float]]]:
    """Losses of successive steps, and the first gradients: norm and sum."""
    model = _build(recipe, recipe.train_opts).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=recipe.lr, momentum=0.9, weight_decay=1e-4)
    batch = [
        _training_input(recipe, recipe.train_image(i), recipe.labels(i))
        for i in range(len(recipe.train_sizes))
    ]
    recorded, gradients = [], dict[str, tuple[float, float]]()
    for step in range(recipe.steps):
        with EventStorage(step):
            torch.manual_seed(step)
            losses: dict[str, Tensor] = model(batch)
        recorded.append({key: float(value.detach()) for key, value in losses.items()})
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        if step == 0:
            found = {
                name: p.grad.double() for name, p in model.named_parameters() if p.grad is not None
            }
            gradients = {name: (float(g.norm()), float(g.sum())) for name, g in found.items()}
        optimizer.step()
    return recorded, gradients


def _training_input(recipe: Recipe, image: Image, labels: Labels) -> dict[str, Any]:
    instances = Instances(image.shape[:2])
    instances.gt_boxes = Boxes(torch.from_numpy(labels.boxes))
    instances.gt_classes = torch.from_numpy(labels.classes)
    instances.gt_masks = PolygonMasks(labels.polygons)
    instances.gt_keypoints = Keypoints(torch.from_numpy(labels.keypoints))
    inputs = {
        "image": _tensor(image),
        "instances": instances,
        "sem_seg": torch.from_numpy(labels.semantic),
    }
    if "fast_rcnn" in recipe.config:
        inputs["proposals"] = _proposals(image)
    return inputs


def _proposals(image: Image) -> Instances:
    boxes, logits = proposals(*image.shape[:2])
    found = Instances(image.shape[:2])
    found.proposal_boxes = Boxes(torch.from_numpy(boxes))
    found.objectness_logits = torch.from_numpy(logits)
    return found


def _tensor(image: Image) -> Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))


if __name__ == "__main__":
    main()
