"""python -m verification.runtimes: small trained models in every runtime and precision.

    python -m verification.runtimes --python PYTHON [--model NAME ...] [--forms fp32]
    python -m verification.runtimes --report

PYTHON is that of an environment with onnx, onnxruntime and openvino. The models are trained on
drawn scenes and exported at the first call, into build/runtimes. Objects above a score of 0.3 are
compared with those of ONNX Runtime in fp32, of the int8 file with ONNX Runtime's int8. Records are
added to verification/runtimes/records.jsonl; `--report` writes the table of docs/export.md.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from verification import REPOSITORY
from verification.json_lines import append, read
from verification.runtimes import scenes
from verification.runtimes.models import MODELS, files_of

RECORDS = Path(__file__).with_name("records.jsonl")
DOCUMENT = REPOSITORY / "docs" / "export.md"
RUNNER = Path(__file__).with_name("runner.py")

CASES = (
    ("onnxruntime", "fp16"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "fp16"),
    ("openvino", "int8"),
)
ENOUGH = {"fp32": 0.98, "int8": 0.98, "bf16": 0.95, "fp16": 0.95}
"""Share of the objects that must have a partner of the same class with an IoU of 0.9."""

BATCHES = ((2, 256, 320), (1, 480, 640), (1, 800, 1088))
"""Number of images, height and width."""

SCORE, IOU = 0.3, 0.9

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Matched:
    """Numbers of objects: in the reference, found, and those that have a partner."""

    expected: int
    found: int
    partners: int

    @property
    def share(self) -> float:
        """Share of the longer list that has a partner."""
        return self.partners / max(self.expected, self.found, 1)


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments name; 1 if a case does not agree."""
    parser = argparse.ArgumentParser(
        prog="python -m verification.runtimes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--forms", nargs="+", choices=("fp32", "int8"), default=["fp32", "int8"])
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args(arguments)
    if options.report:
        DOCUMENT.write_text(with_table(DOCUMENT.read_text("utf-8"), read(RECORDS)), "utf-8")
        return 0
    status = 0
    for name in options.model:
        for record in records_of(name, options.python, options.forms):
            append(RECORDS, record)
            print(record)
            status |= not record.get("agrees", True)
    return status


def records_of(name: str, python: str, forms: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a record of each case of a model."""
    files = files_of(name, forms)
    with tempfile.TemporaryDirectory(prefix="runtimes-") as folder:
        inputs = Path(folder) / "inputs.npz"
        np.savez(inputs, **_inputs())  # type: ignore[arg-type]
        expected = {
            form: _run(python, "onnxruntime", form, file, inputs) for form, file in files.items()
        }
        for runtime, precision in CASES:
            record = {"model": name, "runtime": runtime, "precision": precision}
            if precision == "bf16" and "avx512_bf16" not in Path("/proc/cpuinfo").read_text():
                yield {**record, "skipped": "this CPU has no bfloat16"}
                continue
            form = "int8" if precision == "int8" else "fp32"
            if form not in files:
                continue
            try:
                found = _run(python, runtime, precision, files[form], inputs)
            except RuntimeError as error:
                yield {**record, "agrees": False, "error": str(error)}
                continue
            matched = compare(expected[form], found)
            yield {
                **record,
                "agrees": matched.share >= ENOUGH[precision],
                "expected": matched.expected,
                "found": matched.found,
                "partners": matched.partners,
            }


def compare(expected: Arrays, found: Arrays) -> Matched:
    """Match objects one to one, within each image of each batch."""
    numbers = [0, 0, 0]
    for number in range(len(BATCHES)):
        for image in range(len(expected[f"{number}/scores"])):
            ours = _objects(expected, number, image)
            theirs = _objects(found, number, image)
            free = np.ones(len(theirs[0]), bool)
            partners = 0
            for box, kind in zip(*ours, strict=True):
                ious = np.where(free & (theirs[1] == kind), _ious(box, theirs[0]), 0.0)
                if ious.max(initial=0.0) >= IOU:
                    free[ious.argmax()] = False
                    partners += 1
            for place, value in enumerate((len(ours[0]), len(theirs[0]), partners)):
                numbers[place] += value
    return Matched(*numbers)


def _objects(arrays: Arrays, batch: int, image: int) -> tuple[Any, Any]:
    kept = arrays[f"{batch}/scores"][image].astype(np.float64) > SCORE
    boxes = arrays[f"{batch}/boxes"][image].astype(np.float64)
    return boxes[kept], arrays[f"{batch}/classes"][image][kept]


def _ious(box: npt.NDArray[Any], boxes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(4,), (R, 4) -> (R,)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    area, areas = (box[2:] - box[:2]).prod(), (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    ious: npt.NDArray[Any] = shared / np.maximum(area + areas - shared, 1e-9)
    return ious


def _inputs() -> Arrays:
    inputs: Arrays = {}
    for number, (count, height, width) in enumerate(BATCHES):
        seeds = range(20_000 + 10 * number, 20_000 + 10 * number + count)
        pixels = [scenes.scene(height, width, seed=seed).pixels for seed in seeds]
        sizes = np.array([[height, width]] * count)
        sizes[-1] -= (5, 9) if count > 1 else 0
        batch = {
            "images": np.stack(pixels),
            "sizes": sizes,
            "original_sizes": sizes * 2,
            "score_threshold": np.array(0.05, np.float32),
        }
        inputs.update({f"{number}/{key}": value for key, value in batch.items()})
    return inputs


def _run(python: str, runtime: str, precision: str, file: Path, inputs: Path) -> Arrays:
    """Return all outputs; RuntimeError with the last line of what the process said."""
    outputs = inputs.with_name(f"{runtime}-{precision}.npz")
    command = [python, str(RUNNER), runtime, precision, str(file), str(inputs), str(outputs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["killed"])[-1][:300])
    return dict(np.load(outputs))


def with_table(document: str, records: Sequence[dict[str, Any]]) -> str:
    """Replace the table between the marks."""
    newest = {(r["model"], r["runtime"], r["precision"]): r for r in records}
    rows = [
        f"| {name} | " + " | ".join(_cell(newest.get((name, *case))) for case in CASES) + " |"
        for name in MODELS
    ]
    head = "| model | " + " | ".join(f"{_NAMES[r]} {p}" for r, p in CASES) + " |"
    table = "\n".join([head, "| --- " * (len(CASES) + 1) + "|", *rows])
    pattern = r"(<!-- generated: runtimes -->\n).*?(\n<!-- end of what is generated -->)"
    return re.sub(pattern, lambda m: f"{m[1]}\n{table}\n{m[2]}", document, flags=re.DOTALL)


_NAMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


def _cell(record: dict[str, Any] | None) -> str:
    if record is None:
        return "not run"
    if "skipped" in record:
        return str(record["skipped"])
    if "error" in record:
        return "does not run"
    mark = "" if record["agrees"] else "**no**: "
    return f"{mark}{record['partners']} of {record['expected']}, found {record['found']}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
