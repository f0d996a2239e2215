"""Build a detector from a config."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from app.engine.config import CfgNode, check_supported
from app.engine.modeling.detector import Detector
from app.engine.modeling.meta_arch.fcos import FCOS
from app.engine.modeling.meta_arch.generalized_rcnn import GeneralizedRCNN
from app.engine.modeling.meta_arch.panoptic_fpn import PanopticFPN
from app.engine.modeling.meta_arch.proposal_network import ProposalNetwork
from app.engine.modeling.meta_arch.retinanet import RetinaNet
from app.engine.modeling.meta_arch.semantic_segmentor import SemanticSegmentor
from app.engine.modeling.meta_arch.ssd import SSD

META_ARCHITECTURES: dict[str, type[Detector]] = {
    "GeneralizedRCNN": GeneralizedRCNN,
    "RetinaNet": RetinaNet,
    "FCOS": FCOS,
    "SSD": SSD,
    "ProposalNetwork": ProposalNetwork,
    "PanopticFPN": PanopticFPN,
    "SemanticSegmentor": SemanticSegmentor,
}
"""The values of `MODEL.META_ARCHITECTURE`."""


def build_detector(cfg: CfgNode) -> Detector:
    """Build the detector that `cfg` describes, with new random weights, on `MODEL.DEVICE`.

    Raise ConfigError with all wrong values of `cfg`, which may not come from a checked file.
    """
    model = _build(cfg)
    # With channels-last weights no convolution has to reorder its input.
    model.to(memory_format=torch.channels_last)
    return model


def build_blank_detector(cfg: CfgNode) -> Detector:
    """Build a detector without random initial weights, for a checkpoint that holds all weights.

    Drawing the random numbers of a ResNet-50 takes half a second. The memory format of the
    weights stays contiguous, as in files; the code that prepares the model changes it.
    """
    with _NothingDrawn():
        return _build(cfg)


def _build(cfg: CfgNode) -> Detector:
    check_supported(cfg)  # the functions that build parts rely on this check
    model = META_ARCHITECTURES[cfg.MODEL.META_ARCHITECTURE].from_config(cfg)
    return model.to(torch.device(cfg.MODEL.DEVICE))


class _NothingDrawn(TorchFunctionMode):
    """Skips the functions that fill a tensor with random numbers."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        # Methods of tensors, and functions of torch.nn.init such as kaiming_normal_.
        if func.__name__.endswith(("normal_", "uniform_")):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
