import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from app.engine.checkpoint import CheckpointStore
from app.engine.checkpoint import store as store_module
from app.engine.errors import CheckpointError


def state(iteration: int) -> dict[str, Any]:
    return {
        "iteration": iteration,
        "model": {"w": torch.full((100,), float(iteration))},
        "optimizer": {
            "state": {0: {"momentum_buffer": torch.zeros(3)}},
            "param_groups": [{"lr": 0.1}],
        },
        "random": [None, True, "text", (1, 2)],
    }


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def loaded(store: CheckpointStore) -> int | None:
    found = store.load()
    if found is None:
        return None
    assert torch.equal(found["model"]["w"], torch.full((100,), float(found["iteration"])))
    return int(found["iteration"])


def test_an_empty_store_has_nothing(store: CheckpointStore):
    assert store.load() is None


def test_the_newest_comes_back_whole(store: CheckpointStore):
    for iteration in range(1, 6):
        store.save(state(iteration))
        assert loaded(store) == iteration

    found = store.load()
    assert found is not None
    assert found["random"] == [None, True, "text", (1, 2)]
    assert found["optimizer"]["param_groups"] == [{"lr": 0.1}]
    assert sorted(p.name for p in store.directory.iterdir()) == ["a.pt", "b.pt", "manifest.json"]


def newest(store: CheckpointStore) -> Path:
    manifest = json.loads((store.directory / "manifest.json").read_text())
    return store.directory / str(manifest["checkpoints"][0]["file"])


def test_a_truncated_newest_gives_way_to_the_one_before(
    store: CheckpointStore, caplog: pytest.LogCaptureFixture
):
    store.save(state(1))
    store.save(state(2))
    path = newest(store)
    content = path.read_bytes()
    for offset in range(0, len(content), len(content) // 60):
        path.write_bytes(content[:offset])
        assert loaded(store) == 1
    assert "Passing over a checkpoint" in caplog.text


def test_flipped_bits_give_way_to_the_one_before(store: CheckpointStore):
    store.save(state(1))
    store.save(state(2))
    path = newest(store)
    content = bytearray(path.read_bytes())
    for offset in range(0, len(content), len(content) // 40):
        content[offset] ^= 0x10
        path.write_bytes(content)
        assert loaded(store) == 1
        content[offset] ^= 0x10


def test_a_missing_newest_gives_way_to_the_one_before(store: CheckpointStore):
    store.save(state(1))
    store.save(state(2))
    newest(store).unlink()

    assert loaded(store) == 1


def test_nothing_whole_is_nothing(store: CheckpointStore):
    store.save(state(1))
    newest(store).write_bytes(b"x")

    assert store.load() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 1, "checkpoints": [{}]}',
        '{"format": "x", "checkpoints": 3}',
    ],
)
def test_a_damaged_manifest_vouches_for_nothing(store: CheckpointStore, text: str):
    store.save(state(1))
    (store.directory / "manifest.json").write_text(text)

    assert store.load() is None
    store.save(state(2))
    assert loaded(store) == 2


def test_a_manifest_cannot_lead_elsewhere(store: CheckpointStore, tmp_path: Path):
    store.save(state(1))
    manifest = json.loads((store.directory / "manifest.json").read_text())
    manifest["checkpoints"][0]["file"] = "../outside.pt"
    (store.directory / "manifest.json").write_text(json.dumps(manifest))

    assert store.load() is None


def test_a_newer_format_is_refused(store: CheckpointStore):
    store.save(state(1))
    (store.directory / "manifest.json").write_text('{"format": 99, "checkpoints": []}')

    with pytest.raises(CheckpointError, match="newer version"):
        store.load()


def test_objects_are_not_saved(store: CheckpointStore):
    with pytest.raises(AssertionError, match="tensors"):
        store.save({"model": object()})


def test_a_full_disk_costs_the_older_file_only(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
):
    for iteration in (1, 2):
        store.save(state(iteration))
    older = next(p for p in store.directory.glob("*.pt") if p != newest(store))
    write = store_module.write_atomically

    def full_while_both_are_there(path: Path, content: Any) -> None:
        if path.suffix == ".pt" and older.exists():
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(store_module, "write_atomically", full_while_both_are_there)
    store.save(state(3))
    assert loaded(store) == 3

    def full(path: Path, content: Any) -> None:
        if path.suffix == ".pt":
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(store_module, "write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        store.save(state(4))
    assert loaded(store) == 3


def test_left_over_parts_are_cleared(store: CheckpointStore):
    store.save(state(1))
    (store.directory / ".a.pt.0123abcd.part").write_text("half")
    store.save(state(2))

    assert not list(store.directory.glob(".*"))


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from app.engine.checkpoint import CheckpointStore

torch.set_num_threads(1)
store = CheckpointStore(Path(sys.argv[1]))
random.seed(0)
last = 0
for _ in range(20):
    child = os.fork()
    if child == 0:
        iteration = last
        while True:
            iteration += 1
            weights = torch.full((50_000,), float(iteration))
            store.save({"iteration": iteration, "model": {"w": weights}})
    time.sleep(0.02 + random.random() * 0.06)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = store.load()
    if found is not None:
        assert found["iteration"] >= last, (found["iteration"], last)
        assert (found["model"]["w"] == found["iteration"]).all()
        last = found["iteration"]
print("ok", last)
"""


def test_no_kill_leaves_an_unreadable_checkpoint(tmp_path: Path):
    root = Path(__file__).parents[4]
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert run.stdout.startswith("ok "), run.stderr
    assert "Passing over" not in run.stderr
    assert int(run.stdout.split()[1]) > 0
