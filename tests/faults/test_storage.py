"""Whole runs on file systems that lack operations, or whose server does not answer.

`refusing` makes every call of a kind fail below a folder.
"""

import errno
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from app.engine.checkpoint.store import CheckpointStore
from app.engine.errors import DatasetError
from app.engine.training.reporting.scalars import Scalars
from app.engine.training.reporting.writers import Writers
from app.tasks.__main__ import run_tasks
from app.tasks.failures import contract_error
from common.files import require_writable
from common.files import write_atomically as write_model
from executor.env import OutputPaths, load_env
from executor.errors import OutputError
from executor.journal import Journal, journal_path, remove_journals
from executor.model_stages import ModelStages
from executor.monitor import Monitor
from executor.output_files import atomic_writer, place_file, write_atomically
from executor.output_lock import output_lock
from verification import REPOSITORY
from verification.reliability.check import Known, problems_of
from verification.reliability.refusals import OBJECT_STORE, SMB, refusing
from verification.reliability.trees import Tree, make_tree

NOT_OFFERED = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
AWAY = (errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN)
BROKEN = (errno.EIO, errno.ENOSPC, errno.EDQUOT)


def rows(operations: Mapping[str, tuple[int, ...]]) -> list[Any]:
    return [
        pytest.param(operation, number, id=f"{operation}: {errno.errorcode[number]}")
        for operation, numbers in operations.items()
        for number in numbers
    ]


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process finds out by itself which folders cannot rename."""
    monkeypatch.setattr("common.files._without_rename", set())


BORNE = rows(
    {
        "chmod": (*NOT_OFFERED, errno.EACCES, errno.EROFS),
        "sync folder": (*NOT_OFFERED, errno.EBADF, errno.EACCES, *AWAY, *BROKEN),
        "sync file": (*NOT_OFFERED, errno.EBADF, errno.ENOTTY, errno.EROFS, errno.EACCES),
        "rename": (*NOT_OFFERED, errno.EXDEV),
        "link": (*NOT_OFFERED, errno.EMLINK, errno.EXDEV, errno.EACCES),
    }
)


@pytest.mark.parametrize(("operation", "number"), BORNE)
def test_files_are_written_without(operation: str, number: int, tmp_path: Path) -> None:
    source = tmp_path / "elsewhere"
    source.write_text("placed")
    out = tmp_path / "out"
    out.mkdir()
    for round_ in range(2):  # new files, then old ones
        with refusing(out, {operation: number}):
            write_atomically(out / "result", f"result {round_}")
            write_model(out / "model", f"model {round_}".encode())
            place_file(source, out / "placed")
    found = {path.name: path.read_text() for path in out.iterdir()}
    assert found == {"result": "result 1", "model": "model 1", "placed": "placed"}
    assert source.read_text() == "placed"


@pytest.mark.parametrize(
    ("operation", "number"), rows({"sync file": (*AWAY, *BROKEN), "rename": (*AWAY, *BROKEN)})
)
def test_what_means_lost_data_is_an_error(operation: str, number: int, tmp_path: Path) -> None:
    for write, name, error in (
        (write_atomically, "result", OutputError),
        (write_model, "model", OSError),
    ):
        path = tmp_path / "out" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("old")
        with refusing(tmp_path, {operation: number}), pytest.raises(error, match=name):
            write(path, "new")
        assert path.read_text() == "old"
    assert sorted(os.listdir(tmp_path / "out")) == ["model", "result"]  # noqa: PTH208


def test_a_copy_in_place_leaves_the_file_that_shares_its_content(tmp_path: Path) -> None:
    for write in (write_atomically, write_model):
        shared = tmp_path / "stage"
        shared.write_text("stage")
        target = tmp_path / "flat"
        target.unlink(missing_ok=True)
        os.link(shared, target)
        with refusing(tmp_path, {"rename": errno.EPERM}):
            write(target, "new")
            write(target, "newer")
        assert (shared.read_text(), target.read_text()) == ("stage", "newer")


def test_a_failed_write_in_place_leaves_no_half(tmp_path: Path) -> None:
    path = tmp_path / "result"
    with refusing(tmp_path, {"rename": errno.EPERM}):
        write_atomically(path, "old")
        with (
            pytest.raises(ZeroDivisionError),
            atomic_writer(path) as stream,
        ):
            stream.write(str(1 // 0))
        assert not path.exists()
        write_atomically(path, "new")
        with refusing(tmp_path, {"renew": errno.EACCES}), pytest.raises(OutputError):
            write_atomically(path, "x")
        assert path.read_text() == "new"


def test_a_file_that_is_a_mount_itself_is_written_in_place(tmp_path: Path) -> None:
    path = tmp_path / "monitor.txt"
    path.write_text("old")
    with refusing(tmp_path, {"rename": errno.EBUSY}):
        write_atomically(path, "new")
    write_atomically(tmp_path / "result", "whole")  # its neighbours are renamed as ever
    with refusing(tmp_path, {"rename": errno.ESTALE}), pytest.raises(OutputError):
        write_atomically(tmp_path / "result", "whole")
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    ("operation", "number"),
    rows({"lock": (*NOT_OFFERED, errno.ENOLCK, errno.EBADF), "create": NOT_OFFERED}),
)
def test_a_mount_without_locks_is_told_and_used(
    operation: str, number: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with refusing(tmp_path, {operation: number}), output_lock(tmp_path, "me"):
        pass
    assert "run only one task on it" in caplog.text


@pytest.mark.parametrize("number", [errno.EACCES, errno.EAGAIN])
def test_a_lock_that_another_run_holds(number: int, tmp_path: Path) -> None:
    refused = pytest.raises(OutputError, match="locked by an unknown process")
    with refusing(tmp_path, {"lock": number}), refused, output_lock(tmp_path, "me"):
        pass


@pytest.mark.parametrize("any_earlier", [False, True], ids=["a new one", "one that is there"])
@pytest.mark.parametrize(("operation", "number"), rows({"change": (*NOT_OFFERED, errno.EXDEV)}))
def test_a_journal_that_cannot_be_changed_lies_elsewhere(
    operation: str,
    number: int,
    any_earlier: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = journal_path(tmp_path, "infer")
    if any_earlier:
        with closing(Journal(tmp_path, "infer", "f", 2)) as journal:
            journal.add(0, ["earlier"] * 2, b"..")
    with refusing(tmp_path, {operation: number}):
        journal = Journal(tmp_path, "infer", "f", 2)
        assert journal.num_done == 0
        journal.add(0, ["a", "b"], b".?")
        journal.add(0, ["B"] * 2, b"..")
        assert list(journal) == ["B", "B"]
        place = journal._own.path
        assert place.parent != tmp_path
        journal.close()
    assert not place.exists()
    assert not path.exists()
    assert "the next one starts over" in caplog.text


@pytest.mark.parametrize(("operation", "number"), rows({"change": (*AWAY, *BROKEN, errno.EROFS)}))
def test_a_journal_on_a_broken_disk_is_an_error(
    operation: str, number: int, tmp_path: Path
) -> None:
    refused = pytest.raises(OutputError, match=r"\.infer\.1-of-1\.journal: cannot be written")
    with refusing(tmp_path, {operation: number}), refused:
        Journal(tmp_path, "infer", "f", 2)


UNWRITABLE = (*AWAY, *BROKEN, errno.EROFS, errno.EACCES)


@pytest.mark.parametrize(
    ("operation", "number"),
    rows({"create": UNWRITABLE, "sync file": (*AWAY, *BROKEN), "rename": UNWRITABLE}),
)
def test_a_record_that_cannot_be_written_raises_nothing(
    operation: str, number: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "monitor.txt"
    path.write_text("old")
    monitor = Monitor(path, "t1", sleep=lambda _: None)
    with refusing(tmp_path, {operation: number}):
        monitor.running(0.0, "starting")
        monitor.running(0.5)
    assert path.read_text() == "old"
    monitor.running(0.6)
    assert path.read_text().split("\t")[2] == "0.6000"
    with refusing(tmp_path, {operation: number}):
        monitor.failed(OutputError("the end"))
    assert path.read_text().split("\t")[2] == "0.6000"
    assert caplog.text.count(os.strerror(number)) == 2


@pytest.mark.parametrize("name", ["metrics.json", "tfevents"])
@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ESTALE, errno.ENOSPC])
def test_numbers_that_cannot_be_appended_are_only_logged(
    name: str, number: int, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    scalars = Scalars()
    with (
        refusing(tmp_path, {"append": number}, name=name),
        Writers(
            scalars, metrics_file=tmp_path / "metrics.json", tensorboard_dir=tmp_path / "board"
        ) as writers,
    ):
        for iteration in range(3):
            scalars.put(iteration, {"loss": 1.0})
            writers.write()
            if writers._board is not None and iteration == 0:
                with suppress(OSError):
                    writers._board.flush()
    assert caplog.text.count("not written any more") == 1
    assert "Traceback" not in caplog.text + capfd.readouterr().err


# Whole runs ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    root = tmp_path_factory.mktemp("training")
    return make_tree(root, "training", num_candidates=1, max_iter=3, eval_period=2, num_workers=0)


@pytest.fixture(scope="module")
def infer(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    root = tmp_path_factory.mktemp("infer")
    return make_tree(root, "infer", num_candidates=10, num_workers=0)


def fresh(tree: Tree) -> Tree:
    tree.forget_output()
    for name in ("models", "tensorboard"):  # the supervisor makes them
        (tree.out / name).mkdir()
    return tree


def run(tree: Tree) -> None:
    run_tasks(load_env(tree.env_file), lambda _fraction: None)


MOUNTS = [pytest.param(SMB, id="network share"), pytest.param(OBJECT_STORE, id="object store")]


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_training(
    training: Tree, mount: Mapping[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    fresh(training)
    with refusing(training.out, mount) as asked:
        run(training)
        assert problems_of(training, Known()) == []
        caplog.set_level(logging.INFO)
        run(training)  # what it saved can be taken up
    assert "Nothing is left to train" in caplog.text
    assert set(asked) >= set(mount) - {"lock", "change"}
    state = CheckpointStore(training.out / "training/checkpoints").load()
    assert state is not None
    result = yaml.safe_load((training.out / "models/result.yaml").read_text())
    for name, stage in result["model_stages"].items():
        assert sorted(stage["files"]) == ["config.yaml", "model.pth", "model_card.md"]
        model = torch.load(training.out / "models" / name / "model.pth", weights_only=True)
        assert model["model"]


def test_a_training_whose_images_go_ends_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.engine.training.reporting.progress._MIN_PAUSE_S", 0.0)
    tree = make_tree(
        tmp_path, "training", num_candidates=0, max_iter=9, eval_period=9, num_workers=0
    )
    (tree.out / "models").mkdir()
    mount, away = tmp_path / "in/assets", tmp_path / "in/away"

    def progress(fraction: float) -> None:
        if fraction > 0.7 and mount.exists():
            mount.rename(away)

    with pytest.raises(DatasetError, match=rf"{mount}: .* cannot be read .*No such file") as caught:
        run_tasks(load_env(tree.env_file), progress)
    known = contract_error(caught.value)
    assert known is not None
    assert known.exit_status == 3
    away.rename(mount)
    caplog.set_level(logging.INFO)
    run(tree)
    assert "after iteration 5" in caplog.text
    assert (tree.out / "models/result.yaml").exists()


@pytest.mark.parametrize("mount", MOUNTS)
def test_infer(infer: Tree, mount: Mapping[str, int]) -> None:
    fresh(infer)
    run(infer)
    expected = (infer.out / "infer-result.json").read_bytes()
    fresh(infer)
    with refusing(infer.out, mount):
        run(infer)
    assert (infer.out / "infer-result.json").read_bytes() == expected
    remove_journals(infer.out)
    assert len(json.loads(expected)["detection"]) == 10


# The supervisor -----------------------------------------------------------------------------------

SUPERVISOR = """
import json, sys
from pathlib import Path
from app.start import main
from verification.reliability.refusals import refusing

out, lasts, refusals, options = json.loads(sys.argv[1])
task = '''
import os, sys, time
time.sleep(float(sys.argv[2]))
os.makedirs(sys.argv[1] + "/models", exist_ok=True)
open(sys.argv[1] + "/models/result.yaml", "w").write("x: 1")
'''
with refusing(Path(out), refusals, **options):
    sys.exit(main([sys.executable, "-c", task, out, str(lasts)]))
"""


def supervise(
    root: Path, refusals: Mapping[str, int], *, lasts: float = 0.1, **options: Any
) -> tuple[int, str, list[str]]:
    """(exit status, log, record) of a supervised run whose task lasts so many seconds."""
    out = root / "out"
    (root / "in").mkdir()
    (root / "in/config.yaml").write_text("class_names: [cat]")
    env_file = root / "in/env.yaml"
    env_file.write_text(
        f"input: {{root_dir: {root}/in}}\noutput: {{root_dir: {out}}}\nrun_training: true\n"
        "protocol_version: 1.1.0\ntask_id: t1\n"
    )
    given = [str(out), lasts, dict(refusals), options]
    process = subprocess.run(
        [sys.executable, "-c", SUPERVISOR, json.dumps(given)],
        cwd=REPOSITORY,
        env={**os.environ, "DEFAULT_ENV_FILE_PATH": str(env_file)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    monitor = out / "monitor.txt"
    record = monitor.read_text().split("\n")[0].split("\t") if monitor.exists() else []
    return process.returncode, process.stdout + process.stderr, record


@pytest.mark.parametrize(
    ("operation", "number"),
    rows(
        {
            "create": (errno.ESTALE, errno.EROFS, errno.EACCES),
            "sync file": (errno.ENOSPC,),
            "rename": (errno.ETIMEDOUT,),
        }
    ),
)
def test_a_monitor_file_that_cannot_be_written_costs_only_itself(
    operation: str, number: int, tmp_path: Path
) -> None:
    status, log, record = supervise(tmp_path, {operation: number}, name="monitor.txt")
    assert (status, record) == (0, [])
    assert log.count("no record of the progress") == 1
    assert os.strerror(number) in log
    assert log.splitlines()[-1].endswith("INFO: done")


def test_the_records_come_back_with_the_storage(tmp_path: Path) -> None:
    status, log, record = supervise(
        tmp_path, {"create": errno.ESTALE}, name="monitor.txt", times=2, lasts=1.5
    )
    assert status == 0
    assert record[2:] == ["1.0000", "2", "0", "done"]
    assert log.count("no record of the progress") == 1
    assert log.count("can be written again") == 1


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_supervised_run(tmp_path: Path, mount: Mapping[str, int]) -> None:
    status, log, record = supervise(tmp_path, mount)
    assert (status, record[2:]) == (0, ["1.0000", "2", "0", "done"])
    assert "run only one task on it" in log
    assert "Traceback" not in log


def test_a_training_that_could_not_renew_its_results_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with refusing(tmp_path, {"renew": errno.EPERM}):
        require_writable(tmp_path / "out", again=False)
        with pytest.raises(OSError, match="not permitted"):
            require_writable(tmp_path / "out", again=True)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ESTALE])
def test_a_folder_that_takes_no_file_is_told_at_once(number: int, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    status, log, _ = supervise(tmp_path, {"create": number}, lasts=30)
    assert status == 8
    assert "cannot be written" in log.splitlines()[-1]
    assert os.strerror(number) in log.splitlines()[-1]


# What an earlier run has left, and the storage does not give --------------------------------------


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of files that cannot be opened to read."""
    names: set[str] = set()
    real = io.open

    def refuse(path: Any, *arguments: Any, **options: Any) -> Any:
        if Path(str(path)).name in names:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(io, "open", refuse)
    return names


def test_checkpoints_out_of_reach_are_no_reason_to_start_over(
    tmp_path: Path, closed: set[str]
) -> None:
    store = CheckpointStore(tmp_path)
    for number in (1, 2):
        store.save({"number": number})
    for names, expected in (({"b.pt"}, 1), ({"a.pt"}, 2), (set(), 2)):
        closed.clear()
        closed.update(names)
        state = store.load()
        assert state is not None
        assert state["number"] == expected
    for names in ({"a.pt", "b.pt"}, {"manifest.json"}):
        closed.clear()
        closed.update(names)
        with pytest.raises(OSError, match="Stale"):
            store.load()


def test_stages_out_of_reach_are_not_forgotten(tmp_path: Path, closed: set[str]) -> None:
    output = OutputPaths(root_dir=tmp_path, models_dir="models", training_result_file="r.yaml")
    stages = ModelStages(output)
    model = stages.folder("a") / "model.pth"
    model.write_text("x")
    stages.add("a", [model], mAP=0.5)
    assert len(ModelStages.resume(output).stages) == 1
    closed.add(output.training_result_file.name)
    with pytest.raises(OutputError, match="Stale"):
        ModelStages.resume(output)
