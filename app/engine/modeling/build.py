"""From a config to a detector."""

import torch

from app.engine.config import CfgNode
from app.engine.errors import ConfigError
from app.engine.modeling.detector import Detector
from app.engine.modeling.meta_arch.fcos import FCOS
from app.engine.modeling.meta_arch.generalized_rcnn import GeneralizedRCNN
from app.engine.modeling.meta_arch.panoptic_fpn import PanopticFPN
from app.engine.modeling.meta_arch.proposal_network import ProposalNetwork
from app.engine.modeling.meta_arch.retinanet import RetinaNet
from app.engine.modeling.meta_arch.semantic_segmentor import SemanticSegmentor

META_ARCHITECTURES: dict[str, type[Detector]] = {
    "FCOS": FCOS,
    "GeneralizedRCNN": GeneralizedRCNN,
    "PanopticFPN": PanopticFPN,
    "ProposalNetwork": ProposalNetwork,
    "RetinaNet": RetinaNet,
    "SemanticSegmentor": SemanticSegmentor,
}
"""What `MODEL.META_ARCHITECTURE` can name."""


def build_detector(cfg: CfgNode) -> Detector:
    """The detector that `cfg` describes, with fresh weights, on `MODEL.DEVICE`."""
    name = cfg.MODEL.META_ARCHITECTURE
    if name not in META_ARCHITECTURES:
        raise ConfigError(
            f"MODEL.META_ARCHITECTURE {name!r} is unknown; "
            f"choose one of {', '.join(sorted(META_ARCHITECTURES))}"
        )
    model = META_ARCHITECTURES[name].from_config(cfg)
    model.to(torch.device(cfg.MODEL.DEVICE))
    # Channels-last filters spare every convolution a re-ordering of its input.
    model.to(memory_format=torch.channels_last)
    return model
