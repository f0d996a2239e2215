"""result.yaml: the models of a training as stages, rewritten whole after each new one.

A run can be killed at any instant; the platform then keeps the stages of the result.yaml it finds.
So a stage's files are written first, then result.yaml; then folders of dropped stages are deleted.
"""

import logging
import math
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from common.limited_yaml import parse_yaml
from executor.env import Dialect, OutputPaths
from executor.output_files import output_error, place_file, write_atomically
from executor.task_words import Task

logger = logging.getLogger(__name__)

MAX_STAGES = 11
_COUNTS = ("tp", "fp", "fn")
_RATES = ("mAR", "mIoU", "mAcc", "maskAP", "boxAP")
_RESERVED = frozenset({"attachments"})


@dataclass(frozen=True)
class Stage:
    """One saved model.

    files    names relative to models/<name>/
    metrics  mAP in [0, 1], and optionally mAR, mIoU, mAcc, maskAP, boxAP, tp, fp, fn
    """

    name: str
    files: tuple[str, ...]
    timestamp: int
    metrics: Mapping[str, float | int] = field(default_factory=dict)

    @property
    def is_evaluated(self) -> bool:
        """Whether it has more metrics than the mAP that platforms require of every stage."""
        return len(self.metrics) > 1

    @property
    def rank(self) -> tuple[float, int]:
        """Sort key, higher is better: the mAP, then the time of saving."""
        return self.metrics["mAP"], self.timestamp


class ModelStages:
    """The stages of one training; every `add` leaves a valid result.yaml."""

    def __init__(
        self,
        output: OutputPaths,
        *,
        dialect: Dialect = Dialect.STAGE_FOLDERS,
        object_type: int = 2,
        file_patterns: str = "",
        max_stages: int = MAX_STAGES,
        evaluate_config: Mapping[str, float] | None = None,
    ) -> None:
        """`file_patterns`: comma-separated regular expressions; only matching files are listed."""
        assert 1 <= max_stages <= MAX_STAGES
        self._models_dir = output.models_dir
        self._path = output.result_file(Task.TRAINING)
        self._dialect = dialect
        self._object_type = object_type
        self._patterns = compiled_patterns(file_patterns)
        self._max_stages = max_stages
        self._evaluate_config = dict(evaluate_config or {"iou_thr": 0.5})
        self._stages: dict[str, Stage] = {}

    @classmethod
    def resume(cls, output: OutputPaths, **settings: Any) -> Self:
        """Start with the stages of an earlier run whose files still exist."""
        stages = cls(output, **settings)
        for stage in _read_stages(output.result_file(Task.TRAINING)):
            files = [output.models_dir / stage.name / name for name in stage.files]
            if all(_is_there(file) for file in files):
                stages._stages[stage.name] = stage
        return stages

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages, oldest first."""
        return tuple(self._stages.values())

    @property
    def best(self) -> Stage | None:
        """The stage with the highest mAP (the latest if several have it); None without stages."""
        # Two stages may have the same second: of equal ranks `max` returns the first.
        latest_first = reversed(self._stages.values())
        return max(latest_first, key=lambda stage: stage.rank, default=None)

    def folder(self, name: str) -> Path:
        """Return the folder for the files of a stage; it is made if missing."""
        folder = self._models_dir / stage_name(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(folder, error) from error
        return folder

    def add(
        self,
        name: str,
        files: Sequence[Path],
        *,
        mAP: float,
        timestamp: int | None = None,
        **metrics: float | int | None,
    ) -> Stage:
        """Publish files, complete in the folder of stage `name`, with mAP in [0, 1] (NaN: 0).

        A stage of that name is replaced; above the limit, the oldest stage but the best is dropped.
        """
        name = stage_name(name)
        folder = self._models_dir / name
        names = tuple(str(file.relative_to(folder)) for file in files)
        assert all(file.is_file() for file in files), f"stage {name}: a file is missing"
        stage = Stage(
            name,
            self._kept(names),
            int(time.time()) if timestamp is None else timestamp,
            _valid_metrics({"mAP": mAP, **metrics}),
        )
        self._stages.pop(name, None)
        self._stages[name] = stage
        dropped = self._drop_oldest()
        self._write()
        for old in dropped:
            shutil.rmtree(self._models_dir / old.name, ignore_errors=True)
        return stage

    def leaves_out(self, name: str) -> bool:
        """Whether a file name matches none of the patterns."""
        return bool(self._patterns) and not any(p.search(name) for p in self._patterns)

    def _kept(self, names: tuple[str, ...]) -> tuple[str, ...]:
        kept = tuple(name for name in names if not self.leaves_out(name))
        if names and not kept:
            logger.warning("ymir_saved_file_patterns: no file matches; all files are kept")
        return kept or names

    def _drop_oldest(self) -> list[Stage]:
        dropped = []
        while len(self._stages) > self._max_stages:
            oldest = next(stage for stage in self._stages.values() if stage != self.best)
            dropped.append(self._stages.pop(oldest.name))
        return dropped

    def _write(self) -> None:
        best = self.best
        assert best is not None
        content: dict[str, Any] = {
            "best_stage_name": best.name,
            "mAP": best.metrics["mAP"],
            "model_stages": {stage.name: _stage_entry(stage) for stage in self._stages.values()},
            "evaluate_config": {key: float(value) for key, value in self._evaluate_config.items()},
            "object_type": self._object_type,
        }
        if self._dialect is Dialect.FLAT:
            # The key `model` makes a platform ignore the stages, so only the oldest get it.
            content["model"] = self._place_flat(best)
            content["map"] = best.metrics["mAP"]
        write_atomically(self._path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    def _place_flat(self, stage: Stage) -> list[str]:
        """Place the stage's files beside result.yaml, as hard links where the disk allows it."""
        names = []
        for name in stage.files:
            source = self._models_dir / stage.name / name
            target = self._models_dir / source.name
            place_file(source, target)
            names.append(target.name)
        return names


def stage_name(text: str) -> str:
    """Turn `text` into a name that every platform accepts: an identifier, not a reserved word."""
    name = re.sub(r"\W", "_", text.strip(), flags=re.ASCII)
    if not name or name[0].isdigit() or name in _RESERVED:
        name = f"stage_{name}"
    return name


def compiled_patterns(text: str) -> tuple[re.Pattern[str], ...]:
    """Compile comma-separated regular expressions; bad ones are skipped with a warning."""
    patterns = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            patterns.append(re.compile(part))
        except re.error as error:
            logger.warning(
                "ymir_saved_file_patterns: %r is skipped (%s); write regular expressions, such as "
                r"\.pth$, \.yaml$",
                part,
                error,
            )
    return tuple(patterns)


def _valid_metrics(metrics: Mapping[str, float | int | None]) -> dict[str, float | int]:
    """Clip rates to [0, 1], counts to 0 and up: one bad number makes the platform refuse all."""
    valid: dict[str, float | int] = {}
    for key, value in metrics.items():
        assert key == "mAP" or key in _RATES or key in _COUNTS, f"unknown metric {key}"
        if value is None:
            continue
        number = float(value) if math.isfinite(value) else 0.0
        valid[key] = max(int(number), 0) if key in _COUNTS else min(max(number, 0.0), 1.0)
    return valid


def _stage_entry(stage: Stage) -> dict[str, Any]:
    return {
        "stage_name": stage.name,
        "files": list(stage.files),
        "timestamp": stage.timestamp,
        **stage.metrics,
    }


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError as error:
        raise output_error(file, error) from error


def _read_stages(path: Path) -> list[Stage]:
    """Return the stages of our own result.yaml; none if it is missing or damaged.

    OutputError if the storage fails to return it: a new file would lose the stages in it.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise output_error(path, error) from error
    try:
        content: Any = parse_yaml(text.decode("utf-8"), path).value
        return [
            Stage(
                stage_name(str(entry.pop("stage_name"))),
                tuple(str(name) for name in entry.pop("files")),
                int(entry.pop("timestamp")),
                _valid_metrics({key: float(value) for key, value in entry.items()}),
            )
            for entry in content["model_stages"].values()
        ]
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        logger.warning("%s: not resumed, it cannot be read (%s)", path, error)
        return []
