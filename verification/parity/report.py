"""python -m verification.parity.report [NAME ...] > docs/parity.md: tables of all comparisons.

Every recorded config is built and run, in as many processes as there are cores, which takes some
minutes. With names only those recordings are run.
"""

import argparse
import gzip
import json
import os
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import torchvision

from app.engine.config import CfgNode, load_config
from app.engine.config.support import CHOICES, REFUSED
from app.engine.modeling.build import build_detector
from verification import REPOSITORY
from verification.parity.architectures import architecture
from verification.parity.check import CONFIGS, check_cases, check_training
from verification.parity.compare import BOX, GRADIENT, LOSS, SCORE, Comparison
from verification.parity.curve import saved, table
from verification.parity.differences import DIFFERENCES, NOT_APPLICABLE, ONLY, WITH_STAND_IN
from verification.parity.files import check_files
from verification.parity.golden import load

RECORDED = REPOSITORY / "tests" / "parity"

HEAD = f"""# Parity with detectron2

Written by `python -m verification.parity.report > docs/parity.md`; do not edit.

Both engines get the same weights, made from the names and shapes of the tensors
(`verification/parity/weights.py`), the same generated images and the same labels. The answers of
detectron2 are kept in `tests/parity/` (`python -m verification.parity.record` writes them where
detectron2 is installed); this engine must give the same answers on the CPU in float32.

- **Detections pass** when at least 98 % match in class, within {SCORE:.0e} in score and {BOX} px in
  box; masks when their mean IoU is 0.98, keypoints when 98 % are within a pixel, label maps when
  99.9 % of the pixels are equal (panoptic ones 98 %).
- **Losses pass** when they differ by at most {LOSS:.0e} relative at the first step of training,
  all anchors and proposals taken; in the narrow recordings by ten times that at the second step.
- **Gradients pass** when the norm and the sum of each parameter's differ by at most {GRADIENT:.0e}
  relative.
- With another convolution library, detectron2 differs from itself by up to 6e-5 in
  scores and 0.0054 px in boxes, and two of a hundred detections may swap ranks. Random weights
  amplify rounding far more than trained ones: with another convolution library the gradients of
  this engine change by up to 6e-4.
"""

CURVES_HEAD = """Fifty iterations of each engine, with its own optimizer and warm-up, on the same
scenes, flips and random draws (`verification/parity/curves.py`); measured by
`python -m verification.parity.curve --save`. `note`: the difference is shown, not judged. *Beside
itself*: detectron2 with channels-last weights, which sums the same numbers in another order.
"""

COLUMNS = [
    *("detections matched", "largest score difference", "largest box difference, px"),
    *("other outputs", "largest loss difference", "largest gradient difference", ""),
]
OTHERS = {
    "mask_iou": "mask IoU",
    "keypoint_share": "keypoints within 1 px",
    "semantic_share": "equal pixels",
    "panoptic_share": "equal segment pixels",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """One recording and the comparisons with this engine."""

    name: str
    config: str
    architecture: str
    cases: list[Comparison]
    losses: list[Comparison]
    gradients: list[Comparison]


def main() -> None:
    """Print the report."""
    start = time.monotonic()
    paths = [*sorted(RECORDED.glob("*.npz")), *sorted((RECORDED / "variants").glob("*.npz"))]
    wanted = _wanted([path.stem for path in paths])
    paths = [path for path in paths if not wanted or path.stem in wanted]
    workers = ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _one_thread)
    with workers as pool:
        keys = pool.submit(_keys)
        at_full_width = [path for path in paths if path.parent == RECORDED]
        later = pool.map(partial(_check, prepared=True), at_full_width)
        checked = list(pool.map(_check, paths))
        prepared, entries = list(later), keys.result()
    full = [c for c, path in zip(checked, paths, strict=True) if path.parent == RECORDED]
    narrow = [c for c, path in zip(checked, paths, strict=True) if path.parent != RECORDED]
    lines = [
        HEAD,
        f"Measured on {os.cpu_count()} cores ({platform.machine()}) with Python "
        f"{platform.python_version()}, torch {torch.__version__}, torchvision "
        f"{torchvision.__version__}, in {time.monotonic() - start:.0f} s.",
        *_architectures(entries, checked),
        *_key_table(entries),
        *_recordings("Recordings at full width", full),
        *_recordings(
            "Recordings at full width, models prepared as `Predictor` and the trainer run them",
            prepared,
        ),
        *_recordings("Narrow recordings: every architecture, every switch", narrow),
        *_file_table(list(check_files())),
        *("", "## Training curves", "", CURVES_HEAD, *table(saved())),
        *_known_differences(),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _wanted(recorded: Sequence[str]) -> list[str]:
    """The recordings that the command line names; [] for all."""
    parser = argparse.ArgumentParser(
        prog="python -m verification.parity.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    names: list[str] = parser.parse_args().names
    if unknown := sorted({*names} - {*recorded}):
        parser.error(f"not recorded: {', '.join(unknown)}; tests/parity has {', '.join(recorded)}")
    return names


def _one_thread() -> None:
    torch.set_num_threads(1)


def _check(path: Path, *, prepared: bool = False) -> Checked:
    """All cases of one recording, its first training step, and of narrow ones the later steps."""
    start = time.monotonic()
    golden = load(path)
    cfg = _config(golden.config, [str(opt) for opt in golden.opts])
    cases = list(check_cases(golden, prepared=prepared))
    losses, gradients = list[Comparison](), list[Comparison]()
    steps = 1 if path.parent == RECORDED else None
    if golden.training is None:
        trained: Iterable[Comparison] = ()
    else:
        trained = check_training(golden, golden.training, steps=steps, prepared=prepared)
    for comparison in trained:
        (gradients if "gradient_norm" in comparison.largest else losses).append(comparison)
    sys.stderr.write(f"{path.stem}: {time.monotonic() - start:.0f} s\n")
    return Checked(path.stem, golden.config, architecture(cfg), cases, losses, gradients)


def _config(name: str, overrides: Sequence[str] = ()) -> CfgNode:
    return load_config((CONFIGS / name).with_suffix(".yaml"), list(overrides))


@dataclass(frozen=True, slots=True)
class Entry:
    """One of detectron2's configs; `equal` None: it does not apply to this engine."""

    name: str
    architecture: str
    equal: bool | None


def _keys() -> list[Entry]:
    recorded = dict[str, dict[str, Any]]()
    for path in sorted(RECORDED.glob("state_dict_keys*.json.gz")):
        recorded |= json.loads(gzip.decompress(path.read_bytes()))
    entries = []
    for name, expected in recorded.items():
        if name in NOT_APPLICABLE:
            entries.append(Entry(name, "", None))
            continue
        cfg = _config(name, ["MODEL.DEVICE", "meta"])
        with torch.device("meta"):
            state = build_detector(cfg).state_dict()
        # As lists of pairs, because the order counts, too.
        found = [(key, list(value.shape)) for key, value in state.items()]
        entries.append(Entry(name, architecture(cfg), found == list(expected["sd"].items())))
    return entries


def _architectures(entries: Sequence[Entry], checked: Sequence[Checked]) -> Iterator[str]:
    groups, recordings = defaultdict[str, list[Entry]](list), defaultdict[str, list[Checked]](list)
    for entry in entries:
        if entry.equal is not None:
            groups[entry.architecture].append(entry)
    for one in checked:
        recordings[one.architecture].append(one)
    yield from ("", "## Architectures", "")
    yield "Of all recordings of an architecture, the largest differences."
    yield from ("", *_header(["architecture", "configs, keys equal", "recordings"]))
    for name in sorted(groups | recordings):
        equal = sum(bool(entry.equal) for entry in groups[name])
        keys = f"{len(groups[name])}, {equal}" if groups[name] else "-"
        yield f"| {name} | {keys} | {len(recordings[name])} | {_numbers(recordings[name])} |"


def _key_table(entries: Sequence[Entry]) -> Iterator[str]:
    folders = defaultdict[str, list[Entry]](list)
    for entry in entries:
        kind = "LazyConfig" if entry.name.endswith(".py") else "YAML"
        folders[f"{kind} | {entry.name.rpartition('/')[0] or '(bases)'}"].append(entry)
    asked = [entry for entry in entries if entry.equal is not None]
    equal = sum(bool(entry.equal) for entry in asked)
    yield from ("", "## State-dict keys", "")
    yield f"{equal} of {len(asked)} configs have detectron2's keys and shapes, in its order."
    yield from ("", "| kind | folder | configs | equal | not applicable |", "|---|---|---|---|---|")
    for folder, group in sorted(folders.items()):
        none = sum(entry.equal is None for entry in group)
        yield f"| {folder} | {len(group)} | {sum(bool(e.equal) for e in group)} | {none or ''} |"
    yield ""
    yield from (f"- different: {entry.name}" for entry in asked if not entry.equal)
    yield from (f"- not applicable: `{name}` {reason}" for name, reason in NOT_APPLICABLE.items())
    stand_in = json.loads(
        gzip.decompress((RECORDED / "state_dict_keys_deform.json.gz").read_bytes())
    )
    yield f"- deformable: {', '.join(f'`{name}`' for name in stand_in)}. {WITH_STAND_IN}"


def _recordings(title: str, checked: Sequence[Checked]) -> Iterator[str]:
    yield from ("", f"## {title}", "", *_header(["recording", "config"]))
    for one in checked:
        yield f"| {one.name} | {one.config} | {_numbers([one])} |"


FILES_HEAD = """\
A narrow RetinaNet, from the file to the boxes: reading, orientation, resizing and detection of each
engine as its users call it (`Predictor.detect_files`; detectron2's `read_image`,
`ResizeShortestEdge` and model, as in its `DefaultPredictor`). The files are in
`tests/parity/files/retinanet.npz` (`python -m verification.parity.record_files`)."""


def _file_table(compared: Sequence[Comparison]) -> Iterator[str]:
    yield from ("", "## Image files, end to end", "", FILES_HEAD, "")
    columns = ("file", "detections matched", "largest score difference", "box difference, px", "")
    yield from (f"| {' | '.join(columns)} |", "|---" * len(columns) + "|")
    for each in compared:
        found = each.largest
        yield (
            f"| {each.name} | {found['matched']:.0f} of {found['of']:.0f} | {found['score']:.1e} "
            f"| {found['box']:.4f} | {'pass' if each.passed else 'FAIL'} |"
        )


def _header(first: Sequence[str]) -> list[str]:
    columns = [*first, *COLUMNS]
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def _numbers(checked: Sequence[Checked]) -> str:
    """The cells of COLUMNS."""
    if not checked:
        return "- | - | - | - | - | - | none"
    cases = [case.largest for one in checked for case in one.cases]
    first = [one.losses[0].largest for one in checked if one.losses]
    gradients = [c.largest for one in checked for c in one.gradients]
    matched, total = (int(sum(case.get(key, 0) for case in cases)) for key in ("matched", "of"))
    score, box = (max(case.get(key, 0.0) for case in cases) for key in ("score", "box"))
    others = [
        f"{words} {min(case[key] for case in cases if key in case):.4f}"
        for key, words in OTHERS.items()
        if any(key in case for case in cases)
    ]
    every = [c for one in checked for c in (*one.cases, *one.losses, *one.gradients)]
    failed = [c for c in every if not c.passed]
    cells = [
        f"{matched} of {total}" if total else "-",
        f"{score:.1e}" if total else "-",
        f"{box:.4f}" if total else "-",
        ", ".join(others) or "-",
        f"{max(max(row.values()) for row in first):.1e}" if first else "-",
        f"{max(max(row.values()) for row in gradients):.1e}" if gradients else "-",
        f"FAIL {', '.join(c.name for c in failed)}" if failed else "pass",
    ]
    return " | ".join(cells)


def _known_differences() -> Iterator[str]:
    yield from ("", "## Known differences")
    for heading, sentences in DIFFERENCES.items():
        yield from ("", f"### {heading}", "", *(f"- {sentence}" for sentence in sentences))
    yield from ("", "### Refused", "")
    yield from _refused()


def _refused() -> Iterator[str]:
    yield "Values of detectron2's keys that are refused with this reason when a config is read:"
    yield ""
    by_reason = defaultdict[str, list[str]](list)
    for key, values in REFUSED.items():
        for value, reason in values.items():
            by_reason[reason].append(f"`{key} {value}`")
    by_reason["it is not one of those that work"] = [
        f"`{key}` other than {', '.join(map(str, CHOICES[key]))}" for key in ONLY
    ]
    yield from (f"- {reason}: {', '.join(values)}" for reason, values in sorted(by_reason.items()))


if __name__ == "__main__":
    main()
