"""Which architectures can be written as a graph, and what comes out of them."""

from dataclasses import dataclass

from app.engine.errors import ExportError
from app.engine.export._dense_graph import DenseGraph
from app.engine.layers.fold import fold_batch_norm
from app.engine.modeling.detector import Detector
from app.engine.modeling.meta_arch.fcos import FCOS
from app.engine.modeling.meta_arch.retinanet import RetinaNet

_BOXES = ("boxes", "scores", "classes", "class_probs")


@dataclass(frozen=True, slots=True)
class Graph:
    """A detector ready to be traced.

    module   its `detector` has its batch norms folded
    outputs  names of what `module` returns
    """

    module: DenseGraph
    outputs: tuple[str, ...]
    score_thresh: float


def graph_of(model: Detector) -> Graph:
    """The graph of a model; ExportError that says why there is none."""
    detector = fold_batch_norm(model)
    if isinstance(detector, RetinaNet | FCOS):
        return Graph(DenseGraph(detector), _BOXES, detector.selection.score_thresh)
    raise ExportError(f"{type(model).__name__} cannot be exported as ONNX; RetinaNet and FCOS can")
