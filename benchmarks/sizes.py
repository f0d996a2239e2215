"""python -m benchmarks.sizes > docs/sizes.md: lines of app/engine against the plan of the house."""

import ast
import sys
from collections.abc import Iterator, Mapping

from benchmarks import REPOSITORY

ENGINE = REPOSITORY / "app" / "engine"

PLAN = {
    "config": {"node": 180, "defaults": 330},
    "structures": {
        "boxes": 90,
        "detections": 60,
        "targets": 80,
        "image_list": 60,
        "masks": 130,
        "sample": 60,
    },
    "layers": {"conv": 120, "roi_pool": 130, "losses": 80},
    "data": {
        "formats/__init__": 20,
        "formats/ark": 50,
        "formats/voc": 60,
        "formats/coco": 70,
        "image": 60,
        "transforms": 220,
        "mapper": 90,
        "samplers": 110,
        "loader": 120,
    },
    "modeling": {
        "detector": 40,
        "build": 35,
        "backbones/__init__": 35,
        "backbones/resnet": 360,
        "backbones/fpn": 170,
        "backbones/regnet": 190,
        "anchors": 150,
        "box_regression": 90,
        "matcher": 90,
        "sampling": 40,
        "rpn": 320,
        "roi_heads/__init__": 30,
        "roi_heads/box_head": 80,
        "roi_heads/fast_rcnn": 240,
        "roi_heads/standard": 190,
        "roi_heads/res5": 90,
        "roi_heads/cascade": 170,
        "roi_heads/mask_head": 180,
        "meta_arch/generalized_rcnn": 120,
        "meta_arch/retinanet": 260,
        "meta_arch/fcos": 240,
    },
    "solver": {"optimizer": 90, "schedule": 80},
    "checkpoint": {"files": 110, "match": 220, "checkpoint": 110},
    "training": {"train": 110, "loop": 80, "hooks": 140, "distributed": 120},
    "evaluation": {"coco": 260, "evaluate": 60},
    "predictor": {"predictor": 90},
    "mining": {
        "__init__": 20,
        "random": 15,
        "entropy": 20,
        "cald": 110,
        "aldd": 140,
        "_augment": 110,
    },
    "export": {"__init__": 20, "torchscript": 80, "onnx": 110},
    "": {"__init__": 25},
}
"""Room -> module -> lines, as planned before the first was written."""

GREW = {
    "config": "every key of detectron2 is checked: what is refused and why, did-you-mean, the YAML "
    "reader that runs nothing, the older schema versions",
    "structures": "run-length masks and polygons of several parts, resized and cropped exactly",
    "layers": "norms by name (synchronised, per level), deformable convolution, focal loss, exact "
    "suppression, folding and reduced precision for fast prediction",
    "data": "the plan had detection only: keypoints, label maps, panoptic, LVIS, Cityscapes, VOC, "
    "proposal files, large-scale jitter, filters; damaged images; workers that can be restarted",
    "modeling": "the plan left out keypoints, panoptic and semantic heads, proposals as a network, "
    "federated loss, MobileNet and EfficientNet; the heads of one file became several",
    "solver": "the schedules of the newer baselines, clipping, resumable state",
    "checkpoint": "six naming schemes, a store that survives a cut in any write, rows by class "
    "name, weights found offline, the way back to detectron2",
    "training": "exact resume, evaluation and patience, EMA, PreciseBN, TensorBoard, pictures, "
    "detectron2's log lines, one bad step or image that must not end a run",
    "evaluation": "the plan had COCO boxes: masks, keypoints, proposals, LVIS, VOC, Cityscapes, "
    "semantic and panoptic numbers, result files, pictures",
    "predictor": "files decoded ahead, batches by shape, bounded memory, a full GPU survived",
    "mining": "scores that survive a restart, views shared by two strategies",
    "export": "one ONNX file for all sizes and batches, masks too, compared with the engine after "
    "it is written",
    "tta": "not in the plan: views of every architecture, merged",
    "": "files that appear whole or not at all, a pickle reader that runs nothing, the errors",
}
"""Room -> what grew beyond the plan, and why."""


def main() -> None:
    """Print the report."""
    sys.stdout.write("\n".join(report()) + "\n")


def report() -> Iterator[str]:
    """The document, line by line."""
    rooms = {room: _modules(room) for room in _rooms()}
    yield "# Size of the engine"
    yield ""
    yield "Written by `python -m benchmarks.sizes > docs/sizes.md`; do not edit. Lines include"
    yield "comments, docstrings and blank ones. The plan was made before the first line was"
    yield "written, for detection and masks of the common architectures; it is a measure, no limit."
    yield from ("", "| room | modules | lines | planned | what grew |", "|---|---|---|---|---|")
    for room, modules in rooms.items():
        planned = sum(PLAN.get(room, {}).values())
        total = sum(lines for lines, _ in modules.values())
        name = f"`{room}/`" if room else "itself"
        yield f"| {name} | {len(modules)} | {total} | {planned or '-'} | {GREW.get(room, '')} |"
    everything = sum(lines for modules in rooms.values() for lines, _ in modules.values())
    planned = sum(sum(modules.values()) for modules in PLAN.values())
    count = sum(map(len, rooms.values()))
    yield f"| **all** | {count} | {everything} | {planned} | |"
    for room, modules in rooms.items():
        yield from ("", f"## {room or 'app/engine itself'}", "")
        yield from ("| module | lines | planned | |", "|---|---|---|---|")
        yield from _rows(modules, PLAN.get(room, {}))


def _rooms() -> list[str]:
    rooms = sorted(path.name for path in ENGINE.iterdir() if (path / "__init__.py").is_file())
    return [*rooms, ""]


def _modules(room: str) -> dict[str, tuple[int, str]]:
    """Module -> lines, and what its docstring says first."""
    paths = sorted((ENGINE / room).rglob("*.py")) if room else sorted(ENGINE.glob("*.py"))
    found = {}
    for path in paths:
        text = path.read_text(encoding="utf-8")
        says = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
        name = path.relative_to(ENGINE / room).with_suffix("").as_posix()
        found[name] = len(text.splitlines()), says.replace("|", "\\|")
    return found


def _rows(modules: Mapping[str, tuple[int, str]], plan: Mapping[str, int]) -> Iterator[str]:
    for name, (lines, says) in modules.items():
        yield f"| `{name}` | {lines} | {plan.get(name, '-')} | {says} |"
    for name in sorted(plan.keys() - modules.keys()):
        yield f"| `{name}` | - | {plan[name]} | planned, now part of its neighbours |"


if __name__ == "__main__":
    main()
