"""The journals of mining and infer: where they lie, and which runs may share one.

A run goes on with an earlier one's work only if everything that decides results is the same: the
index, the model, the settings, this program. How the work is done (devices, batches, processes)
may change.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import version
from pathlib import Path

from app.tasks.model_files import find_model
from executor.env import Env, Task
from executor.hyperparameters import InferHyperparameters, MiningHyperparameters
from executor.journal import Journal, fingerprint, journal_path

HOW = {"batch_size", "gpu_id", "model_params_path", "num_workers"}
"""Settings that do not decide what is found."""

_ROOT = Path(__file__).resolve().parents[2]
PACKAGES = tuple(_ROOT / name for name in ("app", "common", "executor"))


@contextmanager
def open_journal(
    env: Env, task: Task, hp: InferHyperparameters | MiningHyperparameters, *, uses_model: bool
) -> Iterator[Callable[[], Journal]]:
    """Gives, when called, the journal of a task with what earlier runs of the same work finished.

    What decides the results is read in a thread: libraries and the model may be loaded meanwhile.
    The file stays until the supervisor knows that the run is done: a run of two tasks does neither
    again.
    """
    path = journal_path(env.output.root_dir, task.value)
    with ExitStack() as opened, ThreadPoolExecutor(1) as aside:
        mark = aside.submit(run_fingerprint, env, task, hp, uses_model)
        yield lambda: opened.enter_context(closing(Journal(path, mark.result())))


def run_fingerprint(
    env: Env,
    task: Task,
    hp: InferHyperparameters | MiningHyperparameters,
    uses_model: bool,
) -> str:
    """A digest of all that decides a task's results."""
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
        # Other files may have a say: names of the classes, an exported form of the model.
        facts["models"] = _listing(env.input.models_dir)
    return fingerprint(facts, files)


def _listing(folder: Path) -> list[tuple[str, int]]:
    """Names and sizes of all files below a folder."""
    return sorted(
        (str(path.relative_to(folder)), path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file()
    )
