"""The fingerprint of a run of infer or mining, which decides whether it can resume a journal.

A run continues an earlier run only if everything that decides results is the same: the index, the
model, the settings and this program. Devices, batches and processes may change.
"""

from importlib.metadata import version
from pathlib import Path

from app.engine.trained.model_files import find_model
from executor.env import Env
from executor.hyperparameters import InferHyperparameters, MiningHyperparameters
from executor.journal import fingerprint
from executor.task_words import Task

HOW = {"batch_size", "draw", "gpu_id", "model_params_path", "num_workers"}
"""Settings that do not decide what is found."""

_ROOT = Path(__file__).resolve().parents[2]
PACKAGES = tuple(_ROOT / name for name in ("app", "common", "executor"))


def run_fingerprint(
    env: Env,
    task: Task,
    hp: InferHyperparameters | MiningHyperparameters,
    *,
    uses_model: bool,
) -> str:
    """Return a digest of everything that decides a task's results."""
    facts: dict[str, object] = {
        "task": task.value,
        "settings": hp.model_dump(mode="json", exclude=HOW),
        "boxes_key": env.dialect.boxes_key,
        "libraries": [version(name) for name in ("torch", "onnxruntime-gpu")],
    }
    files = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
    if env.input.candidate_index_file is not None:
        files.append(env.input.candidate_index_file)
    if uses_model:
        model = find_model(hp.model_params_path, env.input.models_dir)
        files += [path for path in (model.weights, model.config) if path is not None]
        # Other files may matter too: names of the classes, an exported form of the model.
        facts["models"] = _listing(env.input.models_dir)
    return fingerprint(facts, files)


def _listing(folder: Path) -> list[tuple[str, int]]:
    """List names and sizes of all files below a folder."""
    return sorted(
        (str(path.relative_to(folder)), path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file()
    )
