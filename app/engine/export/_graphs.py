"""The architectures that can be exported as a graph, and the graph's outputs."""

from dataclasses import dataclass, replace

from app.engine.cpu.fold import fold_batch_norm
from app.engine.errors import ExportError
from app.engine.export._dense_graph import DenseGraph
from app.engine.export._two_stage_graph import Heads, TwoStageGraph
from app.engine.modeling.detector import Detector
from app.engine.modeling.meta_arch.fcos import FCOS
from app.engine.modeling.meta_arch.generalized_rcnn import GeneralizedRCNN
from app.engine.modeling.meta_arch.retinanet import RetinaNet
from app.engine.modeling.roi_heads.standard import StandardROIHeads

_BOXES = ("boxes", "scores", "classes", "class_probs")


@dataclass(frozen=True, slots=True)
class Graph:
    """A detector that is ready to be traced.

    module        its `detector` has folded batch norms and no score threshold
    outputs       names of the outputs of `module`
    score_thresh  the score threshold of the original model
    """

    module: DenseGraph | TwoStageGraph
    outputs: tuple[str, ...]
    score_thresh: float


def graph_of(model: Detector) -> Graph:
    """Return the graph of a model; ExportError with the reason if there is none."""
    detector = fold_batch_norm(model)
    if isinstance(detector, RetinaNet | FCOS):
        dense = detector.detection_filter
        detector.detection_filter = replace(dense, score_thresh=0.0)
        return Graph(DenseGraph(detector), _BOXES, dense.score_thresh)
    if type(detector) is GeneralizedRCNN:
        return _two_stage(detector)
    raise ExportError(
        f"{type(model).__name__} cannot be exported as ONNX: its results are not lists of boxes; "
        "RetinaNet, FCOS and GeneralizedRCNN can"
    )


def _two_stage(detector: GeneralizedRCNN) -> Graph:
    rpn = detector.proposal_generator
    if rpn is None:
        raise ExportError(
            "MODEL.PROPOSAL_GENERATOR.NAME PrecomputedProposals cannot be exported as ONNX: the "
            "file could not find proposals in new images; use a network with an RPN"
        )
    if isinstance(detector.roi_heads, StandardROIHeads) and detector.roi_heads.keypoint_head:
        raise ExportError(
            "MODEL.KEYPOINT_ON cannot be exported as ONNX: keypoints are sought in heatmaps as "
            "large as each object, for which ONNX has no operator; use the weights themselves"
        )
    heads = Heads.of(detector.roi_heads)
    poolers = [heads.pooler, *([heads.masks.pooler] if heads.masks else [])]
    if any(pooler.pooler_type == "ROIPool" for pooler in poolers):
        raise ExportError("POOLER_TYPE ROIPool cannot be exported as ONNX; train with ROIAlignV2")
    _, predictor = heads.stages[-1]
    chosen = predictor.detection_filter
    predictor.detection_filter = replace(chosen, score_thresh=0.0)
    outputs = (*_BOXES, "masks") if heads.masks else _BOXES
    return Graph(TwoStageGraph(detector, rpn, heads), outputs, chosen.score_thresh)
