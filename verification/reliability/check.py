"""Check that all files in /out are whole, and that nothing that was reported is lost."""

import json
import math
import pickle
import re
import zipfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import yaml

from app.engine.checkpoint.store import CheckpointStore
from verification.reliability.trees import CHECKPOINT_PERIOD, TASK_ID, Tree

_RESUMED = re.compile(r"(\d+) of \d+ images were finished by an earlier run")


@dataclass
class Known:
    """What runs on one /out have reported so far.

    best       (mAP, time) of the best stage
    iteration  of the newest checkpoint
    done       candidates that a run found finished by the runs before it
    steps      entries of the step log that have been looked at
    results    names of result files seen
    """

    best: tuple[float, int] | None = None
    iteration: int = 0
    done: int = 0
    steps: int = 0
    results: set[str] = field(default_factory=set)


def problems_of(tree: Tree, known: Known) -> list[str]:
    """Sentences about what is torn or lost; `known` is updated."""
    found: list[str] = []
    checks = [_monitor, _redone]
    checks += [_stages, _checkpoint] if tree.task == "training" else [_result]
    for check in checks:
        try:
            found += check(tree, known)
        except Exception as error:
            found.append(f"{check.__name__[1:]}: {type(error).__name__}: {error}")
    return found


def redone(steps: list[int]) -> list[int]:
    """How many iterations each restart did again.

    >>> redone([1, 2, 3, 3, 4, 7])
    [1]
    """
    pairs = pairwise(steps)
    return [before - (after - 1) for before, after in pairs if after != before + 1 and after > 0]


def monitor_record(tree: Tree) -> list[str] | None:
    """Fields of monitor.txt; None where it has not been written yet."""
    path = tree.out / "monitor.txt"
    return path.read_text().splitlines()[0].split("\t") if path.exists() else None


def _is_done(tree: Tree) -> bool:
    record = monitor_record(tree)
    return record is not None and float(record[2]) == 1


def _monitor(tree: Tree, known: Known) -> list[str]:
    record = monitor_record(tree)
    if record is None:
        return ["monitor.txt: lost"] if "monitor.txt" in known.results else []
    known.results.add("monitor.txt")
    task_id, moment, fraction, state, code, _message = record
    sound = (
        task_id == TASK_ID
        and float(moment) > 0
        and 0 <= float(fraction) <= 1
        and state in ("2", "4")
        and (code != "0") == (state == "4")
    )
    return [] if sound else [f"monitor.txt: {record}"]


def _redone(tree: Tree, known: Known) -> list[str]:
    steps = tree.steps()
    again = redone(steps[max(known.steps - 1, 0) :])
    known.steps = len(steps)
    return [f"{number} iterations were lost" for number in again if number > CHECKPOINT_PERIOD]


def _stages(tree: Tree, known: Known) -> list[str]:
    path = tree.out / "models/result.yaml"
    if not path.exists():
        return ["result.yaml: lost"] if known.best is not None else []
    content = yaml.safe_load(path.read_text())
    stages = content["model_stages"]
    best = stages[content["best_stage_name"]]
    found = []
    for name, stage in stages.items():
        for file in stage["files"]:
            _read(tree.out / "models" / name / file)
        if not (0 <= stage["mAP"] <= 1 and math.isfinite(stage["mAP"])):
            found.append(f"{name}: mAP {stage['mAP']}")
    rank = (float(best["mAP"]), int(best["timestamp"]))
    if known.best is not None and rank < known.best:
        found.append(f"the best stage went from {known.best} to {rank}")
    known.best = max(rank, known.best or rank)
    for name in ("best", "last"):
        for path in (tree.out / "training" / name).glob("[!.]*"):
            _read(path)
    return found


def _checkpoint(tree: Tree, known: Known) -> list[str]:
    directory = tree.out / "training/checkpoints"
    state = CheckpointStore(directory).load()
    if state is None:
        return ["the checkpoint is lost"] if known.iteration else []
    iteration = int(state["counters"]["iteration"])
    before, known.iteration = known.iteration, max(known.iteration, iteration)
    return [f"the checkpoint went back from {before} to {iteration}"] if iteration < before else []


def _result(tree: Tree, known: Known) -> list[str]:
    name = {"infer": "infer-result.json", "mining": "result.tsv"}[tree.task]
    resumed = _RESUMED.search(tree.log)
    done = int(resumed.group(1)) if resumed else known.done
    if done < known.done:
        return [f"{known.done} finished images, then only {done}"]
    path = tree.out / name
    # A run that has reported "done" has no journal any more: the next one starts over.
    known.done = 0 if _is_done(tree) else done
    if not path.exists():
        return [f"{name}: lost"] if name in known.results else []
    known.results.add(name)
    expected = sorted(tree.candidates)
    if tree.task == "mining":
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        scores = [float(score) for _, score in rows]
        sound = sorted(row[0] for row in rows) == expected
        return [] if sound and scores == sorted(scores, reverse=True) else [f"{name}: incomplete"]
    listed = json.loads(path.read_text())["detection"]
    sound = sorted(listed) == sorted(Path(line).name for line in expected)
    return [] if sound else [f"{name}: incomplete"]


def _read(path: Path) -> Any:
    """The content of a model's file; raises where it is not whole."""
    if path.suffix == ".yaml":
        content = yaml.safe_load(path.read_text())
        assert content["MODEL"]["CLASS_NAMES"], f"{path}: no class names"
        return content
    if path.suffix == ".md":
        text = path.read_text()
        if "## Licence" not in text:  # the last section
            raise ValueError(f"{path}: it is cut")
        return text
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: {error}") from error
