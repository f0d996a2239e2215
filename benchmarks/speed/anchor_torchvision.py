"""torchvision's detection models, with weights by the same seeded rules; its networks differ."""

import re

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.speed.engines import Array, Engine, Workload
from verification.parity.weights import make_state_dict

NAMES = {
    "retinanet_R_50_FPN_1x": "retinanet_resnet50_fpn",
    "faster_rcnn_R_50_FPN_1x": "fasterrcnn_resnet50_fpn",
    "mask_rcnn_R_50_FPN_1x": "maskrcnn_resnet50_fpn",
    "keypoint_rcnn_R_50_FPN_1x": "keypointrcnn_resnet50_fpn",
}

_RENAMINGS = (
    (r"^backbone\.body\.conv1\.", "backbone.bottom_up.stem.conv1."),
    (r"^backbone\.body\.bn1\.", "backbone.bottom_up.stem_of_unit_pixels.conv1.norm."),
    (r"^backbone\.body\.layer1\.", "backbone.bottom_up.res2."),
    (r"^backbone\.body\.layer2\.", "backbone.bottom_up.res3."),
    (r"^backbone\.body\.layer3\.", "backbone.bottom_up.res4."),
    (r"^backbone\.body\.layer4\.", "backbone.bottom_up.res5."),
    (r"downsample\.0\.", "shortcut."),
    (r"downsample\.1\.", "shortcut.norm."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
    (r"^backbone\.fpn\.inner_blocks\.(\d)\.0\.", r"backbone.fpn_lateral\1."),
    (r"^backbone\.fpn\.layer_blocks\.(\d)\.0\.", r"backbone.fpn_output\1."),
    (r"^backbone\.fpn\.extra_blocks\.", "backbone.top_block."),
    (r"^head\.classification_head\.conv\.(\d)\.0\.", r"head.cls_subnet.\1."),
    (r"^head\.regression_head\.conv\.(\d)\.0\.", r"head.bbox_subnet.\1."),
    (r"^head\.classification_head\.cls_logits\.", "head.cls_score."),
    (r"^head\.regression_head\.bbox_reg\.", "head.bbox_pred."),
    (r"^rpn\.head\.conv\.0\.0\.", "proposal_generator.rpn_head.conv."),
    (r"^rpn\.head\.cls_logits\.", "proposal_generator.rpn_head.objectness_logits."),
    (r"^rpn\.head\.bbox_pred\.", "proposal_generator.rpn_head.anchor_deltas."),
    (r"box_head\.fc6\.", "box_head.fc1."),
    (r"box_head\.fc7\.", "box_head.fc2."),
    (r"mask_head\.(\d)\.0\.", r"mask_head.mask_fcn\1."),
    (r"mask_head\.mask_fcn0\.", "mask_head.mask_fcn4."),
    (r"mask_predictor\.conv5_mask\.", "mask_head.deconv."),
    (r"mask_predictor\.mask_fcn_logits\.", "mask_head.predictor."),
    (r"keypoint_head\.(\d+)\.", r"keypoint_head.conv_fcn\1."),
    (r"keypoint_head\.conv_fcn0\.", "keypoint_head.conv_fcn16."),
    (r"keypoint_predictor\.kps_score_lowres\.", "keypoint_head.score_lowres."),
)


def load(workload: Workload, precision: str) -> Engine:
    """Return a function from an image to detections; only the network uses the lower precision."""
    model = build_model(workload).eval()
    lower = precision == "bf16"

    def detect(image: Array) -> dict[str, Array]:
        pixels = torch.from_numpy(np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)))
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=lower):
            found = model([pixels.float() / 255])[0]
        result = {name: found[name].float().numpy() for name in ("boxes", "scores")}
        result["classes"] = found["labels"].numpy()
        if "masks" in found:
            result["masks"] = (found["masks"] > 0.5).numpy()
        return result

    return detect


def build_model(workload: Workload) -> nn.Module:
    """The model with seeded weights, its norms frozen."""
    from torchvision.models import detection
    from torchvision.ops.misc import FrozenBatchNorm2d

    torch.set_num_threads(workload.threads)
    model: nn.Module = getattr(detection, NAMES[workload.config])(
        weights=None, weights_backbone=None, min_size=workload.short, max_size=workload.max_size
    )
    _freeze(model, FrozenBatchNorm2d)
    model.load_state_dict(_weights(model.state_dict()))
    return model


def _freeze(module: nn.Module, kind: type[nn.Module]) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, kind(child.num_features))
        else:
            _freeze(child, kind)


def _weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights that are seeded by detectron2's names of the same layers."""
    names = {}
    for name in state:
        names[name] = name
        for pattern, renaming in _RENAMINGS:
            names[name] = re.sub(pattern, renaming, names[name])
    made = make_state_dict({names[name]: tensor.shape for name, tensor in state.items()})
    result = {name: made[names[name]] for name in state}
    for name in state:
        if name.endswith("box_predictor.cls_score.bias"):
            result[name][0] += 2.5  # the background comes first here
            result[name][-1] -= 2.5
    return result
