"""Images that cannot be read: those that the storage does not deliver are tried again."""

import errno
import json
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.engine.errors import DoesNotFitError, ImageError, StorageError
from app.engine.predictor import Predictor
from app.tasks.__main__ import run_tasks
from app.tasks.unreadable import Unreadable
from executor import errors as contract
from executor.errors import StoppedError
from executor.journal import remove_journals

NUM_IMAGES = 21
SETTINGS = {"batch_size": 2, "image_size": 64, "conf_threshold": 0.0, "num_workers": 0}
"""Groups of eight images."""
IN_ORDER = sorted(range(NUM_IMAGES), key=lambda number: (number % 3, f"{number}.png"))
GROUPS = [set(IN_ORDER[:8]), set(IN_ORDER[8:16]), set(IN_ORDER[16:])]

BAD = ImageError("/a/bad.jpg: no picture")
TOO_LARGE = DoesNotFitError("large.jpg: its pixels do not fit into memory")


def lost(image: Path) -> StorageError:
    return StorageError(str(image), "Stale file handle")


def noted(text: str, num_images: int) -> str:
    """The verdict on images that are read (.), unreadable (x) or lost (?); '' for none."""
    unreadable = Unreadable(num_images)
    errors = {".": lambda _: None, "x": lambda _: BAD, "?": lost, "M": lambda _: TOO_LARGE}
    try:
        for number, letter in enumerate(text):
            image = Path(f"/mnt/photos/{number % 7}/{number}.jpg")
            unreadable.note(errors[letter](image))
        unreadable.require_any(text.count("."))
    except contract.ExecutorError as error:
        return f"{error.exit_status}: {error}"
    return ""


@pytest.mark.parametrize(
    ("text", "num_images", "verdict"),
    [
        pytest.param("", 0, "", id="no images"),
        pytest.param(".", 1, "", id="one image"),
        pytest.param("x", 1, "none of 1 images can be read; for example /a/bad.jpg", id="one bad"),
        pytest.param("?", 1, "/mnt/photos/0: 1 of 1 images cannot be read", id="one lost"),
        pytest.param("x" * 30, 30, "none of 30 images can be read", id="all bad"),
        pytest.param("x" * 29 + ".", 30, "", id="all bad but one"),
        pytest.param("?" * 19, 19, "/mnt/photos: 19 of 19 images", id="few, all lost"),
        pytest.param("?" * 18 + "x", 19, "18 of 19 images", id="few, lost or bad"),
        pytest.param("?" * 18 + ".", 19, "", id="few, all lost but one"),
        pytest.param("?" + "." * 19, 20, "", id="5 % lost"),
        pytest.param("?" + "." * 18 + "?", 20, "2 of 20 images", id="more than 5 % lost"),
        pytest.param("??", 20, "2 of 20 images", id="more than 5 % lost, told at once"),
        pytest.param("?" * 49 + "." * 951, 1000, "", id="49 in a row"),
        pytest.param("?" * 50, 1000, "/mnt/photos: the last 50 images", id="50 in a row"),
        pytest.param("?" * 30 + "x" + "?" * 19 + "." * 950, 1000, "", id="not quite in a row"),
        pytest.param("M", 1, "too small for any of 1 images, even alone", id="one too large"),
        pytest.param("M" * 60, 60, "any of the first 50 images", id="all too large"),
        pytest.param("M" * 49 + "." + "M" * 50, 100, "", id="all too large but one"),
        pytest.param("xM?", 3, "any of 1 images, even alone", id="none, for every reason"),
        pytest.param("." + "M" * 60, 61, "", id="too large behind one that fits"),
    ],
)
def test_when_a_task_must_end(text: str, num_images: int, verdict: str) -> None:
    found = noted(text, num_images)
    assert verdict in found if verdict else not found
    assert found[:2] in (("", "6:") if "M" in text else ("", "3:"))
    if "?" in text and found[:2] == "3:":
        assert "Stale file handle" in found
        assert "check what is mounted there" in found


@pytest.fixture
def many(with_model: Any) -> Any:
    """Candidates of three sizes in three folders, and a model; they are sorted as `IN_ORDER`."""
    rng = np.random.default_rng(0)
    lines = []
    for number in range(NUM_IMAGES):
        image = with_model.root / f"in/assets/{number % 3}/many_{number}.png"
        image.parent.mkdir(exist_ok=True)
        size = [(64, 64), (64, 96), (96, 64)][rng.integers(3)]
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(image)
        lines.append(str(image))
    with_model.write_index("candidate-index.tsv", lines)
    return with_model


def nothing(_fraction: float) -> None:
    """Progress that nobody looks at."""


def asked(tree: Any, task: str, **settings: Any) -> None:
    tree.write_env(**{f"run_{name}": True for name in task.split("+")})
    tree.write_config(**{**SETTINGS, "mining_algorithm": "random", **settings})


def results(tree: Any) -> dict[str, bytes]:
    """The published files, which are taken away; as if the tree were somewhere else."""
    paths = [tree.out / name for name in ("result.tsv", "infer-result.json")]
    found = {path.name: path.read_bytes() for path in paths if path.exists()}
    for path in paths:
        path.unlink(missing_ok=True)
    return {name: data.replace(os.fsencode(tree.root), b"") for name, data in found.items()}


_undisturbed: dict[tuple[str, str], dict[str, bytes]] = {}


def undisturbed(tree: Any, task: str, algorithm: str = "random") -> dict[str, bytes]:
    """What a run leaves to which nothing happens; the tree is made ready for another."""
    asked(tree, task, mining_algorithm=algorithm)
    if (task, algorithm) not in _undisturbed:
        run_tasks(tree.env, nothing)
        _undisturbed[task, algorithm] = results(tree)
        remove_journals(tree.out)
    return _undisturbed[task, algorithm]


def image_of(tree: Any, number: int) -> Path:
    return tree.root / f"in/assets/{number % 3}/many_{number}.png"


def lose(tree: Any, *numbers: int) -> Callable[[], None]:
    """Take images away; what brings them back."""
    moves = [(image_of(tree, number), tree.root / f"{number}.away") for number in numbers]
    for image, away in moves:
        image.rename(away)

    def find() -> None:
        for image, away in moves:
            away.rename(image)

    return find


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the images that the model has seen."""
    seen: list[int] = []
    detect = Predictor.detect_batch

    def spy(self: Predictor, samples: list[Any]) -> Any:
        seen.extend(int(sample.image_id[5:-4]) for sample in samples if sample.image_id)
        return detect(self, samples)

    monkeypatch.setattr(Predictor, "detect_batch", spy)
    return seen


@pytest.mark.parametrize(
    ("task", "algorithm"),
    [
        pytest.param("infer", "random", id="infer"),
        pytest.param("infer+mining", "cald", id="both"),
        pytest.param("mining", "random", id="random, which looks at headers only"),
    ],
)
def test_a_lost_image_is_told_and_looked_at_again(
    many: Any, task: str, algorithm: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected = undisturbed(many, task, algorithm)
    find = lose(many, 9)
    caplog.set_level(logging.INFO)
    run_tasks(many.env, nothing)
    count = len(expected)
    assert caplog.text.count("1 x image not given by its storage") == count
    assert f"{image_of(many, 9)}: the image cannot be read from its storage (No such" in caplog.text
    assert caplog.text.count("1 to be looked at again") == count
    meanwhile = results(many)
    if "infer" in task:
        found = json.loads(meanwhile["infer-result.json"])["detection"]
        assert len(found) == NUM_IMAGES
        assert found["many_9.png"] == {"boxes": []}
    if "mining" in task:
        assert meanwhile["result.tsv"].splitlines()[-1].startswith(b"/in/assets/0/many_9.png")

    find()
    caplog.clear()
    run_tasks(many.env, nothing)
    assert results(many) == expected
    assert caplog.text.count("20 of 21 images were finished by an earlier run") == count
    assert "not given by its storage" not in caplog.text


def test_only_the_group_of_a_lost_image_is_looked_at_again(
    many: Any, looked_at: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    asked(many, "infer")
    find = lose(many, 9)
    run_tasks(many.env, nothing)
    before = results(many)
    looked_at.clear()
    find()
    also = lose(many, 12)  # of the same group; its result is known already
    run_tasks(many.env, nothing)
    assert {9, 12} < GROUPS[0] == {*looked_at, 12}
    assert "12.png: the image cannot be read from its storage" in caplog.text
    now = json.loads(results(many)["infer-result.json"])["detection"]
    earlier = json.loads(before["infer-result.json"])["detection"]
    assert now["many_12.png"] == earlier["many_12.png"] != {"boxes": []}
    looked_at.clear()
    also()
    run_tasks(many.env, nothing)
    assert looked_at == []  # all are known


def test_too_many_lost_images_end_the_task(
    many: Any, caplog: pytest.LogCaptureFixture, looked_at: list[int]
) -> None:
    expected = undisturbed(many, "infer")
    assert 14 in GROUPS[1]
    assert 2 in GROUPS[2]
    find = lose(many, 14, 2)
    with pytest.raises(contract.ImageError, match=r"assets/2: 2 of 21 images .*No such file"):
        run_tasks(many.env, nothing)
    assert results(many) == {}
    assert "2 x image not given by its storage" in caplog.text
    find()
    looked_at.clear()
    caplog.set_level(logging.INFO)
    run_tasks(many.env, nothing)
    assert "15 of 21 images were finished by an earlier run" in caplog.text
    assert set(looked_at) == GROUPS[1] | GROUPS[2]  # that with a gap, and that not recorded
    assert results(many) == expected


def test_a_mount_that_goes_and_comes_back(many: Any, caplog: Any) -> None:
    expected = undisturbed(many, "infer")
    mount, away = many.root / "in/assets", many.root / "in/gone"

    def progress(fraction: float) -> None:
        if fraction > 0.38 and mount.exists():  # behind the first group
            mount.rename(away)

    with pytest.raises(contract.ImageError, match=r"of 21 images .*No such file"):
        run_tasks(many.env, progress)
    with pytest.raises(contract.ImageError, match=r"of 21 images .*No such file"):
        run_tasks(many.env, nothing)
    away.rename(mount)
    caplog.set_level(logging.INFO)
    run_tasks(many.env, nothing)
    assert "8 of 21 images were finished by an earlier run" in caplog.text
    assert results(many) == expected


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EACCES, errno.ETIMEDOUT])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_systems_words_are_told(
    many: Any, number: int, num_workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.stat

    def stat(path: Any, *arguments: Any, **options: Any) -> Any:
        if "assets/0" in os.fspath(path) if not isinstance(path, int) else False:
            raise OSError(number, os.strerror(number), os.fspath(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)
    asked(many, "infer", num_workers=num_workers)
    with pytest.raises(contract.ImageError, match=os.strerror(number)):
        run_tasks(many.env, nothing)


@pytest.mark.parametrize(
    "content", [pytest.param(b"<html>", id="a page"), pytest.param(b"", id="nothing")]
)
def test_no_image_that_can_be_read(many: Any, content: bytes) -> None:
    images = [image_of(many, number) for number in range(NUM_IMAGES)]
    whole = [image.read_bytes() for image in images]
    for image in images:
        image.write_bytes(content)
    asked(many, "mining")
    for _ in range(2):
        with pytest.raises(contract.ImageError, match="none of 21 images can be read; for example"):
            run_tasks(many.env, nothing)
        assert results(many) == {}
    for image, data in zip(images, whole, strict=True):
        image.write_bytes(data)
    run_tasks(many.env, nothing)  # nothing of the earlier runs stands in the way
    assert len(results(many)["result.tsv"].splitlines()) == NUM_IMAGES


def test_unreadable_images_do_not_end_a_task_however_many(many: Any, caplog: Any) -> None:
    for number in range(NUM_IMAGES - 1):
        image_of(many, number).write_bytes(b"no picture")
    asked(many, "infer+mining", mining_algorithm="margin")
    run_tasks(many.env, nothing)
    assert caplog.text.count("20 x unreadable image, for example") == 2
    found = results(many)
    assert found["result.tsv"].splitlines()[0].startswith(b"/in/assets/2/many_20.png")
    entries = json.loads(found["infer-result.json"])["detection"]
    assert [name for name, entry in entries.items() if entry["boxes"]] == ["many_20.png"]


def test_images_lost_before_a_stop_are_looked_at_after_it(many: Any, caplog: Any) -> None:
    expected = undisturbed(many, "infer")
    find = lose(many, 3)

    def progress(fraction: float) -> None:
        if fraction > 0.6:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError, match="after 7 of 21 images"):
        run_tasks(many.env, progress)
    find()
    run_tasks(many.env, nothing)
    assert results(many) == expected


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_an_unreadable_image(many: Any, kind: str, caplog: Any) -> None:
    """Also by random, which looks at no pixels: and none of them is waited for."""
    image = image_of(many, 5)
    image.unlink()
    if kind == "pipe":
        os.mkfifo(image)
    elif kind == "folder":
        image.mkdir()
    else:
        image.symlink_to("/dev/zero")
    asked(many, "mining")
    run_tasks(many.env, nothing)
    assert f"1 x unreadable image, for example {image}" in caplog.text
    assert results(many)["result.tsv"].splitlines()[-1].startswith(b"/in/assets/2/many_5.png")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pixels that fit into memory at once: one number, which may be changed."""
    limit = [10**9]
    detect = Predictor.detect_batch

    def refuse(self: Predictor, samples: list[Any]) -> Any:
        height, width = self.network_size(samples[0])
        if len(samples) * height * width > limit[0]:
            raise MemoryError
        return detect(self, samples)

    monkeypatch.setattr(Predictor, "detect_batch", refuse)
    return limit


@pytest.mark.parametrize("task", ["infer", "mining", "infer+mining"])
def test_where_no_image_fits_memory_is_at_fault(many: Any, memory: list[int], task: str) -> None:
    asked(many, task, mining_algorithm="margin")
    memory[0] = 0
    for _ in range(2):  # nothing is recorded as finished
        with pytest.raises(contract.OutOfMemoryError, match=r"any of 21 .*image_size") as caught:
            run_tasks(many.env, nothing)
        assert caught.value.exit_status == 6
        assert results(many) == {}
    memory[0] = 10**9
    run_tasks(many.env, nothing)
    assert len(results(many)) == task.count("+") + 1


def test_images_too_large_for_memory_are_told_and_looked_at_again(
    many: Any, memory: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    large = image_of(many, 5)
    Image.effect_noise((128, 64), 99).convert("RGB").save(large)
    asked(many, "infer", batch_size=1)
    run_tasks(many.env, nothing)
    expected = results(many)
    remove_journals(many.out)
    memory[0] = 64 * 96
    run_tasks(many.env, nothing)
    assert "1 x image that memory is too small for (no result yet, to be looked at" in caplog.text
    assert "many_5.png: its" in caplog.text
    found = json.loads(results(many)["infer-result.json"])["detection"]
    assert found["many_5.png"] == {"boxes": []}
    memory[0] = 10**9
    run_tasks(many.env, nothing)
    assert results(many) == expected
