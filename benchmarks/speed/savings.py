"""What is saved, exactly, by leaving out work that no detection depends on.

Each saving is switched off and on in turn, in one process on one thread; CPU time, since that
hardly depends on what else the machine does.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from app.engine.layers.nms import nms_sorted
from benchmarks.speed.report import described
from benchmarks.speed.verb import Options, Parser, add_image

_CONFIG = "retinanet_R_50_FPN_1x"
_BOXES, _KEPT = 5000, 100


KIND = "savings"


def add_options(parser: Parser) -> None:
    """A photograph and the size that it gets."""
    add_image(parser)
    parser.add_argument("--short", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=5)


def contents(options: Options) -> Iterator[dict[str, Any]]:
    """One record."""
    yield measure(options.image, short=options.short, rounds=options.rounds)


describe = described


def measure(image: Path, *, short: int, rounds: int) -> dict[str, Any]:
    """The content of a `savings` record."""
    rows = [_nms_of_prefix(rounds)]
    return {
        "key": [_CONFIG, short],
        "title": "Exact savings beyond dense work",
        "columns": ["saving", "all, CPU ms", "what is needed, CPU ms", "saved", "largest gap"],
        "rows": rows,
        "notes": f"`{image.name}`, {short} px, seeded weights (which find candidates everywhere; a "
        f"photograph with few objects saves more), 1 thread, medians of {rounds} rounds off and "
        "on. Gap: of boxes in pixels, where a tile's neighbours are 0 instead of their values.",
    }


def _nms_of_prefix(rounds: int) -> list[str]:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand((_BOXES, 2), generator=generator) * 700
    boxes = torch.cat(
        (corners, corners + 20 + 80 * torch.rand((_BOXES, 2), generator=generator)), dim=1
    )
    off, on, gap = _in_turns(
        None,
        lambda: boxes[nms_sorted(boxes, 0.5)[:_KEPT]],
        lambda: boxes[nms_sorted(boxes[: 4 * _KEPT], 0.5)[:_KEPT]],
        rounds,
    )
    return _row(f"best {_KEPT} of {_BOXES:,} boxes: suppression in the best prefix", off, on, gap)


def _in_turns(
    off: Callable[[], Any] | None,
    everything: Callable[[], torch.Tensor],
    needed: Callable[[], torch.Tensor],
    rounds: int,
) -> tuple[list[float], list[float], float]:
    """CPU seconds of both, and how far their boxes are apart; `off` switches a saving off."""
    times: tuple[list[float], list[float]] = ([], [])
    gap = 0.0
    for number in range(rounds + 1):
        if off is None:
            all_s, expected = _timed(everything)
        else:
            with off():
                all_s, expected = _timed(everything)
        needed_s, found = _timed(needed)
        gap = max(gap, float((found - expected).abs().max()))
        if number:
            times[0].append(all_s)
            times[1].append(needed_s)
    return *times, gap


def _timed(call: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    started = time.process_time()
    result = call()
    return time.process_time() - started, result


def _row(name: str, off: list[float], on: list[float], gap: float) -> list[str]:
    before, after = statistics.median(off), statistics.median(on)
    saved = f"{100 * (1 - after / before):.0f} %"
    return [name, f"{1000 * before:.1f}", f"{1000 * after:.1f}", saved, f"{gap:.1e}"]
