"""Name the kind of model that a config builds; recordings and configs are grouped by it."""

from app.engine.config import CfgNode


def architecture(cfg: CfgNode) -> str:
    """The kind of model, for example 'Mask R-CNN, FPN, deformable'."""
    body = cfg.MODEL.RESNETS
    words = [_detector(cfg)]
    if "regnet" in cfg.MODEL.BACKBONE.NAME:
        words.append("RegNet")
    elif any(body.DEFORM_ON_PER_STAGE):
        words.append("deformable")
    if cfg.MODEL.ROI_HEADS.NAME == "CascadeROIHeads" and "Cascade" not in words[0]:
        words.append("cascade")
    if cfg.MODEL.ROI_BOX_HEAD.USE_FED_LOSS:
        words.append("federated loss")
    if cfg.TEST.AUG.ENABLED:
        words.append("augmented at test time")
    norms = {body.NORM, cfg.MODEL.FPN.NORM, cfg.MODEL.ROI_BOX_HEAD.NORM, cfg.MODEL.RETINANET.NORM}
    words += [words_of for norm, words_of in _NORMS.items() if norm in norms]
    return ", ".join(words)


_NORMS = {"GN": "group norm", "SyncBN": "synchronised norm"}


def _detector(cfg: CfgNode) -> str:
    meta = cfg.MODEL.META_ARCHITECTURE
    named = {
        "RetinaNet": "RetinaNet",
        "FCOS": "FCOS",
        "PanopticFPN": "Panoptic FPN",
        "SemanticSegmentor": "Semantic FPN",
    }
    if meta in named:
        return named[meta]
    if meta == "ProposalNetwork":
        return f"RPN, {_maps(cfg, cfg.MODEL.RPN.IN_FEATURES)}"
    if cfg.MODEL.ROI_HEADS.NAME == "CascadeROIHeads":
        kind = "Cascade Mask R-CNN" if cfg.MODEL.MASK_ON else "Cascade R-CNN"
    elif cfg.MODEL.KEYPOINT_ON:
        kind = "Keypoint R-CNN"
    elif cfg.MODEL.MASK_ON:
        kind = "Mask R-CNN"
    elif cfg.MODEL.PROPOSAL_GENERATOR.NAME == "PrecomputedProposals":
        kind = "Fast R-CNN"
    else:
        kind = "Faster R-CNN"
    return f"{kind}, {_maps(cfg, cfg.MODEL.ROI_HEADS.IN_FEATURES)}"


def _maps(cfg: CfgNode, features: list[str]) -> str:
    if features[0].startswith("p"):
        return "FPN"
    return "C4" if features == ["res4"] else "DC5"
