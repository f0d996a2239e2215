"""Static quantisation of the network in an exported file; the later steps stay in floats."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from onnxruntime import quantization

from app.engine.errors import ImageError
from app.engine.export._indices import float_indices
from app.engine.export._integers import COPIES, for_integers, with_integers_kept
from app.engine.predictor.onnx_predictor import OnnxPredictor

logger = logging.getLogger(__name__)

BETWEEN = ("Add", "AveragePool", "Clip", "Concat", "MaxPool", "Relu", "Resize")
"""Operators that may stay in integers between two convolutions."""


SCORE_LAYERS = ("cls_score", "ctrness", "objectness_logits")
"""Parts of the names of the weights of layers that compute scores."""


def quantized(
    model: onnx.ModelProto,
    reader: OnnxPredictor,
    images: Sequence[Path],
    *,
    excluded: Sequence[str] = (),
    on_image: Callable[[], None] = lambda: None,
) -> onnx.ModelProto:
    """Quantise all convolutions of `model` to 8 bits, except those in `excluded`.

    `on_image` is called after each image.
    """
    model = for_integers(model)
    nodes = [name for name in network_nodes(model) if name not in set(excluded)]
    with TemporaryDirectory(prefix="export-") as folder, _quiet():
        target = Path(folder) / "quantised.onnx"
        quantization.quantize_static(
            model,
            str(target),
            _Photographs(reader, images, on_image),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_quantize=nodes,
            op_types_to_quantize=["Conv", *BETWEEN, *COPIES],
            calibrate_method=quantization.CalibrationMethod.MinMax,
            extra_options={"CalibMovingAverage": True},
        )
        smaller = with_integers_kept(onnx.load(target))
    faults = float_indices(smaller)
    assert not faults, "\n".join(faults)
    return smaller


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence ONNX Runtime's advice in the root logger, which would change nothing here."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def network_nodes(model: onnx.ModelProto) -> list[str]:
    """Return the names of all convolutions and of the operators between them."""
    convs, between = _network(model)
    return [*convs, *between]


def last_convolutions(model: onnx.ModelProto) -> list[str]:
    """Return the names of convolutions whose output no other convolution reads."""
    convs, between = _network(model)
    return [name for name in convs if name not in set(between)]


def _network(model: onnx.ModelProto) -> tuple[list[str], list[str]]:
    """Return the names of all convolutions, and of their inputs back to earlier convolutions."""
    writers = {output: node for node in model.graph.node for output in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    waiting, read = list(convolutions), dict[str, None]()
    while waiting:
        node = waiting.pop()
        for name in node.input if node.op_type in ("Add", "Concat") else node.input[:1]:
            before = writers.get(name)
            if before is None or before.name in read:
                continue
            if before.op_type in ("Conv", *BETWEEN, *COPIES):
                read[before.name] = None
                if before.op_type != "Conv":
                    waiting.append(before)
    return [node.name for node in convolutions], list(read)


def score_convolutions(model: onnx.ModelProto) -> list[str]:
    """Return the names of convolutions that compute scores; 8 bits may rank detections poorly."""
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and any(word in node.input[1] for word in SCORE_LAYERS)
    ]


class _Photographs(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Reads photographs as inputs of the file's graph, one after the other."""

    def __init__(
        self, reader: OnnxPredictor, paths: Sequence[Path], on_image: Callable[[], None]
    ) -> None:
        self._inputs = self._read(reader, paths, on_image)

    def get_next(self) -> Any:
        """Return the next inputs, or None at the end."""
        return next(self._inputs, None)

    @staticmethod
    def _read(
        predictor: OnnxPredictor, paths: Sequence[Path], on_image: Callable[[], None]
    ) -> Iterator[Any]:
        for path in paths:
            try:
                yield predictor.inputs([predictor.example(path)])
            except ImageError as error:
                logger.warning("%s", error)
            on_image()
