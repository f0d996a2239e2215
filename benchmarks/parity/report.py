"""python -m benchmarks.parity.report > docs/parity.md: the proof of equality as a table.

Takes some minutes: every recorded config is built at full size and run.
"""

import gzip
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from app.engine.config import load_config
from app.engine.modeling.build import build_detector
from benchmarks.parity.__main__ import DEFAULT, names, read
from benchmarks.parity.check import CONFIGS, check_case, check_training
from benchmarks.parity.compare import Comparison
from benchmarks.parity.golden import Golden

HEAD = """# Parity with detectron2

Written by `python -m benchmarks.parity.report`; do not edit.

Both engines get the same weights, made from the names and shapes of the tensors
(`benchmarks/parity/weights.py`), and the same generated images. What detectron2 answered is kept
in `tests/parity/`; this engine must give the same on the CPU in float32.

- **Detections pass** when at least 98 % match in class, within 3e-4 in score and 0.05 px in box.
- **Losses pass** when they differ by at most 2e-4 relative at the first step of training.
- detectron2 differs from itself, computed with another convolution library, by up to 6e-5 in
  scores and 0.0054 px in boxes, and two of a hundred detections may swap ranks. Random weights
  amplify rounding far more than trained ones.
"""

TAIL = """## Known differences

- Suppression within classes is exact on any device and for any number of boxes. detectron2 switches
  between two methods by the number of boxes, and one of them loses precision in large coordinates.
- Frozen batch norms are folded into the convolutions while training and in prediction: rounding.
- The moving loss normaliser of RetinaNet and FCOS is saved, so a resumed run goes on exactly;
  detectron2 starts it anew.
- Boxes that are not finite are dropped in one-stage models too; detectron2 does so in two-stage
  models only.
- `MODEL.RESNETS.RES5_DILATION` 4 and rotated boxes are refused.
"""


def main() -> None:
    """Print the report."""
    print_lines([HEAD, "## State-dict keys", "", *_keys(), ""])
    print_lines(["## Recorded outputs", ""])
    print_lines(
        [
            "| config | detections matched | largest score difference | largest box difference, px "
            "| other outputs | largest loss difference | |",
            "|---|---|---|---|---|---|---|",
        ]
    )
    for name in names(DEFAULT):
        print_lines([_row(read(DEFAULT, name))])
    print_lines(["", TAIL.rstrip()])


def print_lines(lines: Sequence[str]) -> None:
    """Write lines to standard output at once: the table grows as it is computed."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _row(golden: Golden) -> str:
    cases = [check_case(golden, case) for case in golden.cases]
    losses: list[Comparison] = []
    if golden.training is not None:
        losses.append(next(check_training(golden, golden.training)))
    numbers = [case.largest for case in cases]
    matched, total = (int(sum(n.get(key, 0) for n in numbers)) for key in ("matched", "of"))
    score, box = (max(n.get(key, 0.0) for n in numbers) for key in ("score", "box"))
    other = [
        f"{words} {min(n[key] for n in numbers):.4f}"
        for key, words in {
            "mask_iou": "mask IoU",
            "keypoint_share": "keypoints within 1 px",
            "semantic_share": "equal pixels",
            "panoptic_share": "equal segment pixels",
        }.items()
        if key in numbers[0]
    ]
    loss = max((max(c.largest.values()) for c in losses), default=None)
    return (
        f"| {golden.config} | {f'{matched} of {total}' if total else '-'} | {score:.1e} "
        f"| {box:.4f} | {', '.join(other) or '-'} | {'-' if loss is None else f'{loss:.1e}'} "
        f"| {'pass' if all(c.passed for c in (*cases, *losses)) else 'FAIL'} |"
    )


def _keys() -> list[str]:
    golden = json.loads(gzip.decompress((DEFAULT / "state_dict_keys.json.gz").read_bytes()))
    recorded = {name: entry for name, entry in golden.items() if "error" not in entry}
    different = [name for name, entry in recorded.items() if _state(name) != entry["sd"]]
    left_out = sorted(set(golden) - set(recorded))
    return [
        f"{len(recorded) - len(different)} of {len(recorded)} configs have exactly detectron2's "
        "keys and shapes, in its order.",
        *(f"- different: {name}" for name in different),
        "",
        "Without its compiled extension, mmdet or a trainer detectron2 could not be asked about:",
        *(f"- {name}" for name in left_out),
    ]


def _state(name: str) -> dict[str, list[int]]:
    path = (Path(CONFIGS) / name).with_suffix(".yaml")
    with torch.device("meta"):
        model = build_detector(load_config(path, ["MODEL.DEVICE", "meta"]))
    return {key: list(value.shape) for key, value in model.state_dict().items()}


if __name__ == "__main__":
    main()
