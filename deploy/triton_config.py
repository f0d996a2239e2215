"""Write Triton's config.pbtxt for an exported file, from the file's own inputs and outputs.

    python triton_config.py model.onnx > models/detector/config.pbtxt

The file itself goes to `models/detector/1/model.onnx`. Only ONNX Runtime is needed.
"""

import sys
from typing import Any

import onnxruntime

_TYPES = {
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float)": "TYPE_FP32",
    "tensor(bool)": "TYPE_BOOL",
}


def config(path: str, name: str = "detector") -> str:
    """Return the text of config.pbtxt for the file."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = ",\n".join(_tensor(each) for each in session.get_inputs())
    outputs = ",\n".join(_tensor(each) for each in session.get_outputs())
    # The batch is a dimension of the tensors: a threshold for all images has none, so that Triton
    # must neither add a batch dimension nor join requests by itself.
    return (
        f'name: "{name}"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 0\n'
        f"input [\n{inputs}\n]\noutput [\n{outputs}\n]\n"
    )


def _tensor(tensor: Any) -> str:
    dims = [size if isinstance(size, int) else -1 for size in tensor.shape]
    # Triton has no scalars: a request sends one number, which is reshaped.
    shape = f"dims: {dims}" if dims else "dims: [ 1 ]\n    reshape: { shape: [ ] }"
    kind = _TYPES[tensor.type]
    return f'  {{\n    name: "{tensor.name}"\n    data_type: {kind}\n    {shape}\n  }}'


if __name__ == "__main__":
    sys.stdout.write(config(sys.argv[1]))
