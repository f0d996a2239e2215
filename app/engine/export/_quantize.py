"""Static quantisation of the network inside an exported file; what follows it stays in floats."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnxruntime import quantization

from app.engine.errors import ImageError
from app.engine.predictor.onnx_predictor import OnnxPredictor

logger = logging.getLogger(__name__)

BETWEEN = ("Add", "AveragePool", "Clip", "Concat", "MaxPool", "Relu", "Resize")
"""What hands on integers from one convolution to the next."""


SCORE_LAYERS = ("cls_score", "ctrness", "objectness_logits")
"""Parts of the names of their weights."""


def quantized(
    source: Path,
    target: Path,
    reader: OnnxPredictor,
    images: Sequence[Path],
    *,
    excluded: Sequence[str] = (),
    on_image: Callable[[], None] = lambda: None,
) -> None:
    """Write `target`: `source` with its convolutions, but for those `excluded`, in 8 bits.

    `on_image` is called after each image.
    """
    nodes = [name for name in network_nodes(onnx.load(source)) if name not in set(excluded)]
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it tells the root logger of steps that would change nothing here
    try:
        quantization.quantize_static(
            str(source),
            str(target),
            _Photographs(reader, images, on_image),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_quantize=nodes,
            op_types_to_quantize=["Conv", *BETWEEN],
            calibrate_method=quantization.CalibrationMethod.MinMax,
            extra_options={"CalibMovingAverage": True},
        )
    finally:
        root.setLevel(level)


def network_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of convolutions and of what lies between them."""
    producers = {output: node for node in model.graph.node for output in node.output}
    found: dict[str, Any] = {n.name: n for n in model.graph.node if n.op_type == "Conv"}
    waiting = list(found.values())
    while waiting:
        for name in waiting.pop().input:
            node = producers.get(name)
            if node is not None and node.op_type in BETWEEN and node.name not in found:
                found[node.name] = node
                waiting.append(node)
    return list(found)


def last_convolutions(model: onnx.ModelProto) -> list[str]:
    """Names of convolutions that no other convolution reads, directly or through `BETWEEN`."""
    network = set(network_nodes(model))
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv"
        and not any(reader.name in network for reader in readers.get(node.output[0], []))
    ]


def score_convolutions(model: onnx.ModelProto) -> list[str]:
    """Names of convolutions that say scores: 256 steps are few to rank detections by."""
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and any(word in node.input[1] for word in SCORE_LAYERS)
    ]


class _Photographs(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Inputs of the file's graph, one photograph after the other."""

    def __init__(
        self, reader: OnnxPredictor, paths: Sequence[Path], on_image: Callable[[], None]
    ) -> None:
        self._inputs = self._read(reader, paths, on_image)

    def get_next(self) -> Any:
        """The next inputs, or None."""
        return next(self._inputs, None)

    @staticmethod
    def _read(
        predictor: OnnxPredictor, paths: Sequence[Path], on_image: Callable[[], None]
    ) -> Iterator[Any]:
        for path in paths:
            try:
                yield predictor.inputs([predictor.reader(path)])
            except ImageError as error:
                logger.warning("%s", error)
            on_image()
