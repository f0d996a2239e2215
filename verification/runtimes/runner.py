"""Runs an exported file in one runtime; it imports nothing of this repository.

    PYTHON runner.py RUNTIME PRECISION MODEL INPUTS OUTPUTS

RUNTIME is onnxruntime or openvino, PRECISION fp32, bf16, fp16 or int8. INPUTS is an .npz file with
`0/images`, `0/sizes`, ... of each batch, OUTPUTS one with `0/boxes`, `0/scores` and `0/classes`.
fp16 converts the file's floats first, as ONNX Runtime's tool does.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

Arrays = dict[str, npt.NDArray[Any]]
OUTPUTS = ("boxes", "scores", "classes")


def main(runtime: str, precision: str, model: str, inputs: str, outputs: str) -> None:
    """Run all batches."""
    run = RUNTIMES[runtime](_content(model, precision), precision)
    batches: dict[str, Arrays] = {}
    for key, values in np.load(inputs).items():
        number, name = key.split("/")
        batches.setdefault(number, {})[name] = values
    found = {
        f"{number}/{name}": values
        for number, batch in batches.items()
        for name, values in run(batch).items()
    }
    np.savez(outputs, **found)  # type: ignore[arg-type]


def _content(path: str, precision: str) -> bytes:
    model = onnx.load(path)
    if precision == "fp16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        model = convert_float_to_float16(model, keep_io_types=True)
    content: bytes = model.SerializeToString()
    return content


def _onnxruntime(content: bytes, precision: str) -> Callable[[Arrays], Arrays]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(batch: Arrays) -> Arrays:
        return dict(zip(OUTPUTS, session.run(list(OUTPUTS), batch), strict=True))

    return run


def _openvino(content: bytes, precision: str) -> Callable[[Arrays], Arrays]:
    import openvino

    core = openvino.Core()
    settings: Mapping[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": 1,
    }
    compiled = core.compile_model(core.read_model(content, b""), "CPU", settings)

    def run(batch: Arrays) -> Arrays:
        found = compiled(batch)
        return {name: found[name] for name in OUTPUTS}

    return run


RUNTIMES = {"onnxruntime": _onnxruntime, "openvino": _openvino}

if __name__ == "__main__":
    main(*sys.argv[1:])
