"""A task's folder of generated images, in which tests make mistakes, and its findings."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from app.check import Finding, Subject, examine
from executor.mounts import IN_VARIABLE, OUT_VARIABLE, TASK_VARIABLE

NAMES = ("RBC", "WBC", "Platelets")
SIZE = (128, 96)  # width, height
TRAINING, VALIDATION = range(16), range(16, 22)

Box = tuple[int, int, int, int, int]
"""Class, and x0 y0 x1 y1: pixels, the last ones included."""

SETTINGS: dict[str, Any] = {
    "class_names": list(NAMES),
    "config_file": "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml",
    "batch_size": 2,
    "max_iter": 400,
    "learning_rate": 0,
    "gpu_id": "",
    "num_workers": 0,
    "args_options": "MODEL.WEIGHTS ''",
}


@dataclass(frozen=True)
class Folder:
    """A folder that a task calls /in."""

    path: Path

    def set(self, **settings: Any) -> None:
        """Write config.yaml with some of its settings changed; None takes one out."""
        merged = {**SETTINGS, **settings}
        kept = {key: value for key, value in merged.items() if value is not None}
        (self.path / "config.yaml").write_text(yaml.safe_dump(kept, sort_keys=False))

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)

    def text(self, name: str) -> str:
        return (self.path / name).read_text()

    def relist(self, change: Callable[[str], str], name: str = "train-index.tsv") -> None:
        """Change every line of an index."""
        self.write(name, "".join(f"{change(line)}\n" for line in self.text(name).splitlines()))

    def ark(self, change: Callable[[Box], Sequence[float]] = lambda box: box) -> None:
        """Write every annotation as a line of ark, with changed columns."""
        self.labels(lambda box: ",".join(f"{value:g}" for value in change(box)))

    def yolo(self, change: Callable[[Box], Sequence[float]] | None = None) -> None:
        """Write every annotation as YOLO's labels, with changed columns."""
        write = change or shares
        self.labels(lambda box: " ".join(f"{value:.6g}" for value in write(box)))

    def labels(self, line: Callable[[Box], str]) -> None:
        for number in (*TRAINING, *VALIDATION):
            lines = "".join(f"{line(box)}\n" for box in boxes_of(number))
            self.write(f"annotations/{number}.txt", lines)
        self._suffix(".txt")

    def voc(self, change: Callable[[Box], Sequence[Any]] = lambda box: box) -> None:
        """Write every annotation as PASCAL VOC, with changed names and corners."""
        for number in (*TRAINING, *VALIDATION):
            objects = ""
            for box in boxes_of(number):
                _, *corners = change(box)
                parts = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
                inner = "".join(f"<{key}>{value:g}</{key}>" for key, value in parts)
                name = NAMES[box[0]]
                objects += f"<object><name>{name}</name><bndbox>{inner}</bndbox></object>"
            size = f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height></size>"
            head = f"<filename>{number}.png</filename>{size}"
            self.write(f"annotations/{number}.xml", f"<annotation>{head}{objects}</annotation>")
        self._suffix(".xml")

    def coco(self, change: Callable[[Box], Sequence[float]], *, ids: int = 0) -> None:
        """Write one COCO file for all images, with changed boxes and shifted category ids."""
        images, annotations = [], []
        for number in (*TRAINING, *VALIDATION):
            images.append(
                {"id": number, "file_name": f"{number}.png", "width": SIZE[0], "height": SIZE[1]}
            )
            for box in boxes_of(number):
                entry = {"id": len(annotations) + 1, "image_id": number, "bbox": list(change(box))}
                annotations.append({**entry, "category_id": box[0] + 1 + ids, "iscrowd": 0})
        categories = [{"id": index + 1, "name": name} for index, name in enumerate(NAMES)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        self.write("annotations/all.json", json.dumps(content))
        for name in ("train-index.tsv", "val-index.tsv"):
            self.relist(lambda line: f"{line.split(TAB)[0]}\t/in/annotations/all.json", name)

    def _suffix(self, suffix: str) -> None:
        for name in ("train-index.tsv", "val-index.tsv"):
            self.relist(lambda line: line.rpartition(".")[0] + suffix, name)


TAB = "\t"


def boxes_of(number: int) -> list[Box]:
    """Four objects of each image: every class, and one class twice."""
    rng = np.random.default_rng(number)
    found = []
    for column in range(4):
        x = 32 * column + int(rng.integers(2, 6))
        y = int(rng.integers(2, 40))
        width, height = (int(side) for side in rng.integers(18, 26, 2))
        found.append(((column + number) % 3, x, y, x + width - 1, y + height - 1))
    # One object in the lower right corner: data without any looks like that of smaller copies.
    _, x, _, x1, _ = found[-1]
    found[-1] = (found[-1][0], x, 70, x1, 94)
    return found


def shares(box: Box) -> tuple[float, ...]:
    """YOLO's columns of a box."""
    index, x0, y0, x1, y1 = box
    width, height = x1 + 1 - x0, y1 + 1 - y0
    x, y = x0 + width / 2, y0 + height / 2
    return index, x / SIZE[0], y / SIZE[1], width / SIZE[0], height / SIZE[1]


def xywh(box: Box) -> tuple[float, ...]:
    """Corner and size, as COCO has them."""
    _, x0, y0, x1, y1 = box
    return x0, y0, x1 + 1 - x0, y1 + 1 - y0


def _paint(path: Path, number: int) -> None:
    pixels = np.random.default_rng(number).integers(90, 130, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    for index, x0, y0, x1, y1 in boxes_of(number):
        pixels[y0 : y1 + 1, x0 : x1 + 1] = np.eye(3, dtype=np.uint8)[index] * 200
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="session")
def sound_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing wrong."""
    path = tmp_path_factory.mktemp("sound")
    for name in ("assets", "annotations"):
        (path / name).mkdir()
    for number in (*TRAINING, *VALIDATION):
        _paint(path / f"assets/{number}.png", number)
    folder = Folder(path)
    for name, numbers in (("train-index.tsv", TRAINING), ("val-index.tsv", VALIDATION)):
        lines = [f"/in/assets/{n}.png\t/in/annotations/{n}.txt\n" for n in numbers]
        folder.write(name, "".join(lines))
    folder.ark()
    folder.set(export_format="ark:raw")
    folder.write("env.yaml", "protocol_version: 1.1.0\nrun_training: true\n")
    return path


@pytest.fixture
def folder(sound_folder: Path, tmp_path: Path) -> Folder:
    """A copy of a sound folder, in which a test makes a mistake."""
    shutil.copytree(sound_folder, tmp_path / "in")
    return Folder(tmp_path / "in")


Check = Callable[..., list[Finding]]


@pytest.fixture
def check(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return the findings about the folder."""
    monkeypatch.setenv(IN_VARIABLE, str(folder.path))
    monkeypatch.setenv(OUT_VARIABLE, "/dev/null")
    monkeypatch.setenv(TASK_VARIABLE, "")

    def run(**options: bool) -> list[Finding]:
        return list(examine(Subject(folder.path / "env.yaml", **options)))

    return run
