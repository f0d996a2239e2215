"""The architectures that can be exported as a graph, and the graph's outputs."""

from dataclasses import dataclass, replace

from app.engine.cpu.fold import fold_batch_norm
from app.engine.export._dense_graph import DenseGraph
from app.engine.export._raw_graph import RawGraph
from app.engine.export._ssd_graph import SSDGraph
from app.engine.export._two_stage_graph import Heads, TwoStageGraph
from app.engine.modeling.detector import Detector
from app.engine.modeling.meta_arch.fcos import FCOS
from app.engine.modeling.meta_arch.generalized_rcnn import GeneralizedRCNN
from app.engine.modeling.meta_arch.retinanet import RetinaNet
from app.engine.modeling.meta_arch.ssd import SSD
from app.engine.structures.size import Size

_BOXES = ("boxes", "scores", "classes", "class_probs")


@dataclass(frozen=True, slots=True)
class Graph:
    """A detector that is ready to be traced.

    module        its `detector` has folded batch norms and no score threshold
    outputs       names of the outputs of `module`
    score_thresh  the score threshold of the original model
    size          the only size of images that it takes; None: any size
    """

    module: DenseGraph | RawGraph | SSDGraph | TwoStageGraph
    outputs: tuple[str, ...]
    score_thresh: float
    size: Size | None = None


def graph_of(model: Detector) -> Graph:
    """Return the graph of a model that `export_faults` accepts."""
    detector = fold_batch_norm(model)
    if isinstance(detector, RetinaNet | FCOS):
        dense = detector.detection_filter
        detector.detection_filter = replace(dense, score_thresh=0.0)
        return Graph(DenseGraph(detector), _BOXES, dense.score_thresh)
    if isinstance(detector, SSD):
        chosen = detector.detection_filter
        detector.detection_filter = replace(chosen, score_thresh=0.0)
        size = detector.anchor_generator.input_size
        return Graph(SSDGraph(detector), _BOXES, chosen.score_thresh, size)
    assert type(detector) is GeneralizedRCNN, "no graph, although TRAITS has `has_graph`"
    return _two_stage(detector)


def raw_graph_of(model: Detector, size: Size | None) -> Graph:
    """Return the graph of a one-stage model without selection, for images of `size` or of any."""
    detector = fold_batch_norm(model)
    assert isinstance(detector, RetinaNet | FCOS | SSD), "`export_faults` refuses the others"
    if isinstance(detector, SSD):
        size = detector.anchor_generator.input_size
    chosen = detector.detection_filter
    detector.detection_filter = replace(chosen, score_thresh=0.0)
    return Graph(RawGraph(detector, size), ("boxes", "scores"), chosen.score_thresh, size)


def _two_stage(detector: GeneralizedRCNN) -> Graph:
    rpn = detector.proposal_generator
    assert rpn is not None
    heads = Heads.of(detector.roi_heads)
    _, predictor = heads.stages[-1]
    chosen = predictor.detection_filter
    predictor.detection_filter = replace(chosen, score_thresh=0.0)
    outputs = (*_BOXES, "masks") if heads.masks else _BOXES
    return Graph(TwoStageGraph(detector, rpn, heads), outputs, chosen.score_thresh)
