"""The body of ssd_mobilenet_v2_coco as a file of weights in torchvision's names of MobileNetV2.

    python -m benchmarks.learning.coco_body frozen_inference_graph.pb ssd_mobilenet_v2_body.pth

The graph belongs to ssd_mobilenet_v2_coco_2018_03_29 of TensorFlow's model zoo (Apache-2.0). The
network pads as TensorFlow does; in a body that pads symmetrically its maps are moved by half a
pixel for each stride of 2, which fine-tuning has to mend.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

BLOCKS = 17
_EPSILON = 0.001 - 0.00001
"""TensorFlow adds 0.001 to variances and the body 0.00001: the file's variances hold the rest."""

_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def main(graph: Path, target: Path) -> None:
    """Read the constants of `graph` and write `target`."""
    constants = _constants(graph)
    torch.save(dict(body_weights(constants)), target)


def body_weights(constants: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield name and weight: constants by their names in the graph -> torchvision's names."""
    for source, target in _layers():
        start = f"FeatureExtractor/MobilenetV2/{source}"
        if f"{start}/depthwise_weights" in constants:  # (H, W, C, 1)
            kernel = constants[f"{start}/depthwise_weights"].permute(2, 3, 0, 1)
        else:  # (H, W, C, C')
            kernel = constants[f"{start}/weights"].permute(3, 2, 0, 1)
        yield f"{target[0]}.weight", kernel.contiguous()
        for name, ours in _NORM.items():
            value = constants[f"{start}/BatchNorm/{name}"]
            yield f"{target[1]}.{ours}", value + _EPSILON if ours == "running_var" else value


def _layers() -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the name of each convolution in the graph, and of it and its norm in torchvision."""
    yield "Conv", ("features.0.0", "features.0.1")
    for block in range(BLOCKS):
        source = f"expanded_conv_{block}" if block else "expanded_conv"
        target = f"features.{block + 1}.conv"
        wide = ["expand", "depthwise"] if block else ["depthwise"]
        for place, part in enumerate(wide):
            yield f"{source}/{part}", (f"{target}.{place}.0", f"{target}.{place}.1")
        last = len(wide)
        yield f"{source}/project", (f"{target}.{last}", f"{target}.{last + 1}")


def _constants(path: Path) -> dict[str, Tensor]:
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.util.tensor_util import make_ndarray

    graph: Any = GraphDef()
    graph.ParseFromString(path.read_bytes())
    return {
        node.name: torch.from_numpy(make_ndarray(node.attr["value"].tensor).copy())
        for node in graph.node
        if node.op == "Const" and node.name.startswith("FeatureExtractor/")
    }


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
