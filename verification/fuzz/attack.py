"""Try many inputs on one parser, and keep each kind of failure once."""

import hashlib
import resource
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from verification.fuzz.judge import UnexplainedError, judge
from verification.fuzz.parsers import Parser


@dataclass
class Outcome:
    """The result of an attack.

    inputs    tried, of which `refused` ended in an error of ours
    failures  what a parser did wrong -> the first input that made it
    peak_mb   memory taken above what the process had before, at the worst moment
    """

    parser: str
    inputs: int = 0
    refused: int = 0
    failures: dict[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0
    peak_mb: float = 0.0

    def record(self) -> dict[str, object]:
        """The record of the attack, one line of the report."""
        return {
            "parser": self.parser,
            "inputs": self.inputs,
            "refused": self.refused,
            "unexplained": len(self.failures),
            "seconds": round(self.seconds, 1),
            "peak_mb": round(self.peak_mb),
        }


def attack(parser: Parser, *, inputs: int, seed: int) -> Outcome:
    """Try `inputs` inputs on a parser; the same seed gives the same inputs."""
    outcome = Outcome(parser.name)
    begin, memory = time.monotonic(), _peak_mb()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / parser.file_name

        @hypothesis.seed(seed)
        @settings(
            max_examples=inputs,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(parser.inputs)
        def try_one(content: bytes) -> None:
            outcome.inputs += 1
            path.write_bytes(content)
            try:
                outcome.refused += bool(judge(parser.read, path, max_lines=parser.max_lines))
            except UnexplainedError as error:
                outcome.failures.setdefault(_signature(error), content)

        try_one()
    outcome.seconds = time.monotonic() - begin
    outcome.peak_mb = _peak_mb() - memory
    return outcome


def keep(outcome: Outcome, folder: Path) -> list[Path]:
    """Write the inputs that did harm, to be tried again."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for content in outcome.failures.values():
        digest = hashlib.sha256(content).hexdigest()[:8]
        path = folder / f"{outcome.parser.replace(' ', '-')}-{digest}"
        path.write_bytes(content)
        paths.append(path)
    return paths


def _signature(error: UnexplainedError) -> str:
    """The failure without its values: the type of the error, and the place that raised it."""
    cause = error.__cause__
    if cause is None:
        return str(error)[:80]
    frame = cause.__traceback__
    places = []
    while frame is not None:
        file = Path(frame.tb_frame.f_code.co_filename)
        places.append(f"{file.parent.name}/{file.name}:{frame.tb_lineno}")
        frame = frame.tb_next
    ours = [place for place in places if not place.startswith(("fuzz/", "hypothesis/"))]
    return f"{type(cause).__name__} at {' > '.join(ours[-3:])}"


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
