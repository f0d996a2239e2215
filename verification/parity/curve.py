"""python -m verification.parity.curve [NAME ...] [--save]: fifty iterations beside detectron2's.

Both engines have the same weights, scenes, order, flips and random draws; each uses its own model,
optimizer and warm-up. The command fails if a loss differs by more than its curve allows. `curves`
lists the curves, and `verification.parity.record_curves` records detectron2's.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from app.engine.config import load_config
from app.engine.cpu.prepare import prepare_for_training
from app.engine.modeling.build import build_detector
from app.engine.solver import build_optimizer, build_schedule
from app.engine.structures.sample import Sample
from verification.parity.check import CONFIGS, sample
from verification.parity.curves import CURVES, Curve, InDouble, Losses, Recorded
from verification.parity.golden import Labels
from verification.parity.scenes import Image
from verification.parity.weights import fill

SAVED = Path(__file__).with_name("curves.jsonl")


@dataclass(frozen=True, slots=True)
class Followed:
    """How closely a training follows the recorded one.

    losses   the sum of the recorded losses, mean of the first five and of the last five iterations
    largest  largest relative difference of each loss, and of their sum as `total`
    within   iterations until the sum first differed by more than `tolerance`
    itself   largest total and `within` of detectron2 with channels-last weights against itself
    """

    name: str
    passed: bool
    tolerance: float
    iterations: int
    losses: tuple[float, float]
    largest: dict[str, float]
    within: int
    itself: tuple[float, int] | None

    @property
    def verdict(self) -> str:
        """pass, FAIL, or `note` for a curve that is not judged."""
        if not CURVES[self.name].judged:
            return "note"
        return "pass" if self.passed else "FAIL"

    def __str__(self) -> str:
        numbers = "  ".join(f"{key} {value:.1e}" for key, value in self.largest.items())
        return (
            f"{self.verdict}  {self.name}  "
            f"loss {self.losses[0]:.3f} -> {self.losses[1]:.3f}  off by at most {numbers}  "
            f"within {self.tolerance:g} for {self.within} of {self.iterations} iterations"
        ) + (
            f"  (detectron2 beside itself: {self.itself[0]:.1e}, for {self.itself[1]})"
            if self.itself
            else ""
        )


def table(results: Sequence[Followed]) -> Iterator[str]:
    """Lines of Markdown, a row for each curve."""
    yield (
        "| curve | arithmetic | recorded loss, first and last five | largest difference of the sum "
        "| of a single loss | allowed | iterations within | detectron2 beside itself | |"
    )
    yield "|---" * 9 + "|"
    for one in results:
        kind = "float64" if CURVES[one.name].double else "float32"
        single = max(value for key, value in one.largest.items() if key != "total")
        itself = f"{one.itself[0]:.1e}, within for {one.itself[1]}" if one.itself else "-"
        yield (
            f"| {one.name} | {kind} | {one.losses[0]:.3f}, {one.losses[1]:.3f} "
            f"| {one.largest['total']:.1e} | {single:.1e} | {one.tolerance:g} "
            f"| {one.within} of {one.iterations} | {itself} | {one.verdict} |"
        )


def train(curve: Curve) -> Iterator[dict[str, float]]:
    """Losses of this engine at every iteration."""
    opts = [str(o) for o in (*curve.opts, "MODEL.DEVICE", "cpu")]
    cfg = load_config(CONFIGS / curve.config, opts)
    model = build_detector(cfg).train()
    fill(model, overrides=curve.overrides)
    if curve.double:
        model.double()
    if cfg.SOLVER.WINOGRAD:
        prepare_for_training(model)
    optimizer = build_optimizer(cfg, model)
    schedule = build_schedule(cfg, optimizer)
    for iteration, batch in enumerate(curve.batches()):
        with InDouble() if curve.double else nullcontext():
            torch.manual_seed(iteration)
            losses = model.losses([_sample(image, labels) for image, labels in batch])
            optimizer.zero_grad()
            torch.autograd.backward(torch.stack(list(losses.values())).sum())
            optimizer.step()
            schedule.step()
        yield {key: float(loss.detach()) for key, loss in losses.items()}


def _sample(image: Image, labels: Labels) -> Sample:
    made = sample(image, (image.shape[0], image.shape[1]), labels)
    assert made.ground_truth is not None
    truth = replace(made.ground_truth, boxes=made.ground_truth.boxes.float())
    return replace(made, ground_truth=truth, semantic=None)


def run(name: str) -> Followed:
    """Train the named curve beside its recording."""
    return follow(name, list(train(CURVES[name])), Recorded.read(name))


def follow(name: str, losses: Sequence[Losses], recorded: Recorded) -> Followed:
    """Compare the losses of successive iterations, of which there may be fewer than recorded."""
    curve = CURVES[name]
    expected = recorded.losses[: len(losses)]
    off = [_differences(*pair) for pair in zip(expected, losses, strict=True)]
    totals = [each["total"] for each in off]
    largest = {key: max(each[key] for each in off) for key in off[0]}
    sums = [sum(each.values()) for each in expected]
    return Followed(
        name,
        not curve.judged or max(largest.values()) <= curve.tolerance,
        curve.tolerance,
        len(losses),
        (sum(sums[:5]) / len(sums[:5]), sum(sums[-5:]) / len(sums[-5:])),
        largest,
        _within(totals, curve.tolerance),
        (max(recorded.itself), _within(recorded.itself, curve.tolerance))
        if recorded.itself
        else None,
    )


def _differences(expected: Losses, actual: Losses) -> dict[str, float]:
    """Relative differences; a loss under a hundredth of the sum is compared with that hundredth."""
    total = sum(expected.values())
    assert expected.keys() == actual.keys()
    off = {
        key: abs(actual[key] - value) / max(value, total / 100) for key, value in expected.items()
    }
    return {"total": abs(sum(actual.values()) - total) / total, **off}


def _within(differences: Sequence[float], tolerance: float) -> int:
    far = (i for i, difference in enumerate(differences) if not difference <= tolerance)
    return next(far, len(differences))


def main() -> int:
    """Print one line for each curve; 1 when any fails."""
    parser = argparse.ArgumentParser(
        prog="python -m verification.parity.curve", description=__doc__
    )
    parser.add_argument("names", nargs="*", choices=[*CURVES, []], metavar="NAME")
    parser.add_argument("--save", action="store_true", help=f"keep the figures in {SAVED.name}")
    arguments = parser.parse_args()
    results = []
    for name in arguments.names or CURVES:
        results.append(run(name))
        sys.stdout.write(f"{results[-1]}\n")
        sys.stdout.flush()
    if arguments.save:
        save(results)
    return int(not all(result.passed for result in results))


def save(results: Sequence[Followed]) -> None:
    """Save the figures, a line for each curve; the lines of other curves stay."""
    rows = {one.name: one for one in (*saved(), *results)}
    lines = (json.dumps(asdict(rows[name])) for name in CURVES if name in rows)
    SAVED.write_text("".join(f"{line}\n" for line in lines))


def saved() -> list[Followed]:
    """Read the saved figures."""
    lines = SAVED.read_text().splitlines() if SAVED.exists() else []
    return [Followed(**json.loads(line)) for line in lines]


if __name__ == "__main__":
    sys.exit(main())
