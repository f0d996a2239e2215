"""Odd images are read in the same way everywhere, and broken ones do not end a run.

One inference and one mining run over all of them, then a table of the expected results.
"""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from app.engine.data.images.headers import image_size
from app.engine.data.images.reading import read_image
from app.engine.errors import DatasetError
from app.tasks.__main__ import run_tasks
from app.tasks.records import read_records
from executor.dataset_reader import Asset
from executor.env import load_env
from verification.fuzz.samples import bomb, picture
from verification.reliability.trees import save_untrained

Make = Callable[[Path], object]


def saved(format: str, image: Image.Image | None = None, **options: Any) -> Make:
    return lambda path: (image or picture()).save(path, format, **options)


def turned(orientation: int) -> Make:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved("JPEG", exif=exif.tobytes())


def grey16() -> Image.Image:
    return Image.fromarray((np.arange(768, dtype=np.uint16) * 80).reshape(24, 32))


GOOD: dict[str, Make] = {
    "plain.jpg": saved("JPEG"),
    "png called.jpg": saved("PNG"),
    "jpg called.bmp": saved("JPEG"),
    "no extension": saved("PNG"),
    "UPPER.JPG": saved("JPEG"),
    "progressive.jpg": saved("JPEG", progressive=True),
    "grey.jpg": saved("JPEG", picture().convert("L")),
    "cmyk.jpg": saved("JPEG", picture().convert("CMYK")),
    "no end marker.jpg": lambda path: cut(path, 2),
    "16 bit.png": saved("PNG", grey16()),
    "16 bit.tif": saved("TIFF", grey16()),
    "32 bit.tif": saved("TIFF", Image.fromarray(np.arange(768, dtype=np.int32).reshape(24, 32))),
    "float.tif": saved("TIFF", picture().convert("F")),
    "lzw.tif": saved("TIFF", compression="tiff_lzw"),
    "one bit.png": saved("PNG", picture().convert("1")),
    "palette.png": saved("PNG", picture().quantize(8), transparency=0),
    "palette bytes.png": saved("PNG", picture().quantize(8), transparency=bytes(range(8))),
    "la.png": saved("PNG", picture().convert("LA")),
    "rgba.png": saved("PNG", picture().convert("RGBA")),
    "animated.gif": saved("GIF", save_all=True, append_images=[picture().rotate(90)]),
    "animated.webp": saved("WEBP", save_all=True, append_images=[picture().rotate(90)]),
    "lossless.webp": saved("WEBP", lossless=True),
    "frames.mpo": saved("MPO", save_all=True, append_images=[picture()]),
    "plain.ppm": saved("PPM"),
    "plain.jp2": saved("JPEG2000"),
    "plain.avif": saved("AVIF"),
    **{f"exif {number}.jpg": turned(number) for number in range(1, 9)},
    "one pixel.png": saved("PNG", picture((1, 1))),
    "tall.png": saved("PNG", picture((20_000, 1))),
    "wide.png": saved("PNG", picture((1, 20_000))),
    "link.jpg": lambda path: path.symlink_to(path.with_name("plain.jpg")),
    "link of a link.jpg": lambda path: path.symlink_to("link.jpg"),
    "\u00fc composed.jpg": saved("JPEG"),
    "u\u0308 decomposed.jpg": saved("JPEG"),
    "\u65e5\u672c \U0001f600.jpg": saved("JPEG"),
    "latin \udcfc.jpg": saved("JPEG"),
    "<script>&'\".jpg": saved("JPEG"),
    "$(touch canary)`id`.jpg": saved("JPEG"),
    "a" * 200 + ".jpg": saved("JPEG"),
    **{f"another {number}.png": saved("PNG") for number in range(25)},
}


def cut(path: Path, missing: int) -> None:
    """A JPEG without its last bytes; negative: with only so many."""
    picture().save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:-missing])


def content(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


BAD: dict[str, Make] = {
    "half.jpg": lambda path: cut(path, 300),
    "head only.jpg": content(b"\xff\xd8\xff\xe0\x00\x10JFIF"),
    "empty.jpg": content(b""),
    "page.jpg": content(b"<html><body>404 not found</body></html>"),
    "text.png": content("kein Bild, nur \u00fcber Bilder".encode()),
    "magic only.png": content(b"\x89PNG\r\n\x1a\n"),
    "bomb.png": content(bomb(20_000)),
    "larger bomb.png": content(bomb(60_000)),
    "no pixels.png": content(bomb(0)),
    "no data.png": content(bomb(300)),
    "postscript.jpg": content(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    "folder.jpg": lambda path: path.mkdir(),
    "pipe.jpg": os.mkfifo,
    "device.jpg": lambda path: path.symlink_to("/dev/zero"),
}

LOST: dict[str, Make] = {
    "nowhere.jpg": lambda path: path.symlink_to("/nowhere/at/all.jpg"),
    "circle.jpg": lambda path: path.symlink_to(path),
    "missing.jpg": lambda path: None,
    "b" * 300 + ".jpg": lambda path: None,
}
"""What the storage does not give: less than 5 % of them all, or no task would come to its end."""

BAD |= LOST


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a mining and infer run over all of them."""
    root = tmp_path_factory.mktemp("images")
    for folder in ("in/assets", "in/models", "out/models", "out/tensorboard"):
        (root / folder).mkdir(parents=True)
    lines = []
    for name, make in {**GOOD, **BAD}.items():
        make(root / "in/assets" / name)
        lines.append(os.fsencode(root / "in/assets" / name))
    (root / "in/candidate-index.tsv").write_bytes(b"\n".join(lines))
    settings = {"gpu_id": "", "num_workers": 1, "image_size": 64, "batch_size": 8}
    (root / "in/config.yaml").write_text(yaml.safe_dump(settings))
    (root / "in/env.yaml").write_text(
        f"input: {{root_dir: {root}/in}}\noutput: {{root_dir: {root}/out}}\n"
        "protocol_version: 1.1.0\nrun_mining: true\nrun_infer: true\ntask_id: t1\n"
    )
    save_untrained(root / "in/models")
    log = logging.FileHandler(root / "log", errors="backslashreplace")
    logging.getLogger().addHandler(log)
    logging.getLogger("app.tasks").setLevel(logging.INFO)
    try:
        run_tasks(load_env(root / "in/env.yaml"), lambda _: None)
    finally:
        logging.getLogger("app.tasks").setLevel(logging.NOTSET)
        logging.getLogger().removeHandler(log)
        log.close()
    return root


@pytest.mark.parametrize("name", GOOD)
def test_odd_images_are_read(name: str, runs: Path):
    path = runs / "in/assets" / name
    pixels = read_image(path, "RGB")
    assert pixels.shape == (*image_size(path), 3)
    assert pixels.dtype == np.uint8


def test_every_image_is_listed_and_broken_ones_are_empty(runs: Path):
    text = (runs / "out/infer-result.json").read_bytes().decode("utf-8", "surrogateescape")
    found = json.loads(text)["detection"]
    assert len(found) == len(GOOD) + len(BAD)
    assert all(found[name]["boxes"] == [] for name in BAD)
    assert {name for name in GOOD if name not in found} <= {"latin \udcfc.jpg"}


def test_broken_images_are_mined_last(runs: Path):
    lines = (runs / "out/result.tsv").read_bytes().split(b"\n")[:-1]
    names = [os.fsdecode(line.split(b"\t")[0]).rpartition("/")[2] for line in lines]
    assert sorted(names) == sorted([*GOOD, *BAD])
    assert set(names[-len(BAD) :]) == set(BAD)
    assert all(np.isfinite(float(line.split(b"\t")[1])) for line in lines)


def test_those_that_the_storage_does_not_give_are_counted_apart(runs: Path):
    log = (runs / "log").read_text()
    for task in ("mining", "infer"):
        assert f"{task}: " in log
    assert log.count(f"{len(LOST)} x image not given by its storage") == 2
    assert log.count(f"{len(BAD) - len(LOST)} x unreadable image") == 2


def test_nothing_ran(runs: Path):
    assert not list(runs.rglob("canary"))


def assets(folder: Path, *, good: int, bad: dict[str, Make]) -> list[Asset]:
    """An index of annotated images, the bad ones among the good."""
    makes = {f"{number}.jpg": saved("JPEG") for number in range(good)} | bad
    found = []
    for name, make in makes.items():
        make(folder / name)
        annotation = folder / f"{name[:100]}.txt"
        annotation.write_text("0, 1, 1, 20, 20\n")
        found.append(Asset(str(folder / name), str(annotation)))
    return found


@pytest.mark.parametrize("name", [name for name in BAD if name not in ("half.jpg", "no data.png")])
def test_one_broken_image_is_left_out_of_training_and_told(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING)
    found = assets(tmp_path, good=3, bad={name: BAD[name]})
    records = read_records(found, "ark:raw", ["cat"], name="training")
    assert sorted(record.path.name for record in records) == ["0.jpg", "1.jpg", "2.jpg"]
    assert "training set: 1 x unreadable image" in caplog.text


def test_a_set_with_many_broken_images_is_refused(tmp_path: Path):
    broken = {f"broken {number}.jpg": content(b"") for number in range(2)}
    found = assets(tmp_path, good=38, bad=broken)
    assert len(read_records(found, "ark:raw", ["cat"], name="training")) == 38
    with pytest.raises(DatasetError, match=r"2 of 39 images .* cannot be read rightly, .*empty"):
        read_records(found[1:], "ark:raw", ["cat"], name="training")


def test_missing_annotations_count_as_broken(tmp_path: Path):
    found = assets(tmp_path, good=10, bad={})
    for number in range(3):
        (tmp_path / f"{number}.jpg.txt").unlink()
    with pytest.raises(DatasetError, match="3 of 10 images or their annotations"):
        read_records(found, "ark:raw", ["cat"], name="validation")
