"""An extension is one file and one line, and tables agree with files and documents.

The examples of docs/adding.md are added to a copy of the product exactly as the page says, and then
used: a training on the new body, neck, detector and annotation format ends with the new form of
export, the new strategy ranks candidates with the model that was trained, and the new task runs.
"""

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml

from app import check
from app.check import CHECKS
from app.engine import export, mining
from app.engine.config import load_config
from app.engine.config.backbone_names import parts
from app.engine.data import formats
from app.engine.data.formats import FORMATS
from app.engine.export import EXPORTERS
from app.engine.mining import STRATEGIES
from app.engine.modeling import backbones, meta_arch, necks
from app.engine.modeling.backbones import BODIES
from app.engine.modeling.build import META_ARCHITECTURES, build_detector
from app.engine.modeling.necks import NECKS
from app.engine.modeling.roi_heads import ROI_HEADS
from app.exchange import sources, targets
from app.exchange.sources import SOURCES
from app.exchange.targets import TARGETS
from app.tasks import TASKS
from docker.generate import generated_files
from executor.env import Env, OutputPaths
from executor.errors import ConfigError
from executor.task_words import Task
from verification.reliability.trees import COLOURS, LIGHT, paint

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/adding.md").read_text(encoding="utf-8")

FILE = re.compile(r"```python\n# (?P<path>\S+\.py)\n(?P<source>.*?)```", re.DOTALL)
LINE = re.compile(
    r"```python\n# line of (?P<table>\w+) in (?P<path>\S+\.py)\n"
    r"(?:(?P<imported>from \S+ import \w+)\n\n)?(?P<line>    \S[^\n]*,)\n```"
)


GENERATED = generated_files()
"""Made when tests are collected: some tests put a detector of their own into the tables."""


@pytest.mark.parametrize("name", GENERATED)
def test_what_is_generated_is_up_to_date(name: str) -> None:
    content = (ROOT / name).read_text(encoding="utf-8")
    assert content == GENERATED[name], "run `make generate`"


# --- Files are tables ---


_VERBS = ("read", "score", "write")


def _modules(values: object) -> set[str]:
    assert isinstance(values, dict)
    return {
        next((getattr(value, verb) for verb in _VERBS if hasattr(value, verb)), value).__module__
        for value in values.values()
    }


@pytest.mark.parametrize(
    ("room", "named"),
    [
        pytest.param(backbones, _modules(BODIES), id="bodies"),
        pytest.param(necks, _modules(NECKS), id="necks"),
        pytest.param(meta_arch, _modules(META_ARCHITECTURES), id="detectors"),
        pytest.param(mining, _modules(STRATEGIES), id="mining strategies"),
        pytest.param(formats, _modules(FORMATS), id="annotation formats"),
        pytest.param(
            export,
            {f"{export.__name__}.{name.replace('-', '_')}" for name in EXPORTERS},
            id="exports",
        ),
        pytest.param(sources, _modules(SOURCES), id="sources"),
        pytest.param(targets, _modules(TARGETS), id="targets"),
        pytest.param(check, {f"{check.__name__}.{name}" for name in CHECKS}, id="checks"),
    ],
)
def test_every_file_of_a_room_is_in_its_table(room: ModuleType, named: set[str]) -> None:
    """Helpers begin with `_`."""
    files = {path.stem for path in Path(room.__path__[0]).glob("*.py")}
    public = {f"{room.__name__}.{name}" for name in files if not name.startswith("_")}
    assert public == named


# --- Every body, neck, detector and head is shown by a config that builds ---


@cache
def _configs() -> dict[str, Path]:
    """Body, neck, detector, head -> a config with it."""
    found: dict[str, Path] = {}
    for path in sorted((ROOT / "configs").rglob("*.yaml")):
        if not path.name.startswith("Base") and "quick_schedules" not in path.parts:
            model = load_config(path).MODEL
            body, neck = parts(model.BACKBONE.NAME)
            for name in (body, neck, model.META_ARCHITECTURE, model.ROI_HEADS.NAME):
                if name is not None:
                    found.setdefault(name, path)
    return found


@pytest.mark.parametrize("name", [*BODIES, *NECKS, *META_ARCHITECTURES, *ROI_HEADS])
def test_a_config_shows_it_and_builds(name: str) -> None:
    assert name in _configs(), f"no config in configs/ uses {name}"
    cfg = load_config(_configs()[name], ["MODEL.DEVICE", "meta"])
    with torch.device("meta"):
        build_detector(cfg)


# --- Every task is in the table, and is asked for by its flag ---


def test_every_file_that_does_a_task_is_in_the_table() -> None:
    files = (ROOT / "app/tasks").glob("*.py")
    doing = {path.stem for path in files if "\ndef run(env: Env, progress:" in path.read_text()}
    assert sorted(doing) == sorted(TASKS.values())


@pytest.mark.parametrize("task", Task)
def test_a_task_is_asked_for_by_its_flag_and_has_a_result_file(task: Task) -> None:
    assert Env(**{task.flag: True}).require_tasks() == (task,)
    with pytest.raises(ConfigError, match=rf"\b{task.flag}\b"):
        Env().require_tasks()
    output = OutputPaths()
    assert [each for each in Task if output.result_file(each) == output.result_file(task)] == [task]


# --- The page is true ---


def test_the_page_adds_to_every_room() -> None:
    tables = {match["table"] for match in LINE.finditer(PAGE)}
    assert tables == {
        "BODIES",
        "NECKS",
        "META_ARCHITECTURES",
        "ROI_HEADS",
        "STRATEGIES",
        "FORMATS",
        "EXPORTERS",
        "SOURCES",
        "TASKS",
        "CHECKS",
    }
    assert len(FILE.findall(PAGE)) == len(tables)  # one file, one line


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the product with the page's examples, after `make generate`."""
    root = tmp_path_factory.mktemp("product")
    for name in ("app", "common", "configs", "docker", "docs", "executor"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for match in FILE.finditer(PAGE):
        path = root / match["path"]
        assert not path.exists()
        path.write_text(f"{match['source']}", encoding="utf-8")
    for match in LINE.finditer(PAGE):
        path = root / match["path"]
        text = path.read_text(encoding="utf-8")
        head, opening, entries = re.split(rf"(^{match['table']}\b.* = {{\n)", text, flags=re.M)
        if match["imported"]:
            head = head.replace("\nfrom app.", f"\n{match['imported']}\nfrom app.", 1)
        entries = entries.replace("\n}", f"\n{match['line']}\n}}", 1)
        path.write_text(head + opening + entries, encoding="utf-8")
    _python(root, "-m", "docker.generate")
    return root


def _python(root: Path, *arguments: str) -> str:
    """What a Python process says that sees the copy only."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_product_knows_what_the_page_adds(extended: Path) -> None:
    template = (extended / "docker/img-man/mining-template.yaml").read_text()
    assert "random or crowd (crowded images)" in " ".join(template.replace("#", "").split())
    schema = (extended / "docker/img-man/training.schema.json").read_text()
    assert '"columns:raw"' in schema
    assert "labels. none: nothing" in schema
    assert "| `crowd` | number of detections | 1 |" in (extended / "docs/mining.md").read_text()
    told = _python(
        extended,
        "-c",
        "from app.engine.config.support import CHOICES\nprint(*CHOICES['MODEL.BACKBONE.NAME'])",
    )
    names = {name for name in told.split() if "patches" in name}
    assert names == {
        "build_patches_backbone",
        "build_patches_fpn_backbone",
        "build_retinanet_patches_fpn_backbone",
        "build_ssd_patches_backbone",
        "build_patches_laterals_backbone",
    }
    assert "build_resnet_laterals_backbone" in told
    assert (extended / "docker/img-man/sizes-template.yaml").is_file()
    told = _python(extended, "-m", "app.detex", "schema", "sizes")
    assert "conf_threshold" in json.loads(told)["properties"]


HEADS = """
import torch
from app.engine.config import load_config
from app.engine.modeling.build import build_detector
path = "configs/Mobile/faster_rcnn_mobilenetv2_FPN_light.yaml"
cfg = load_config(path, ["MODEL.ROI_HEADS.NAME", "ExactBoxROIHeads", "MODEL.DEVICE", "meta"])
with torch.device("meta"):
    print(type(build_detector(cfg).roi_heads).__name__)
"""


def test_the_page_s_heads_build(extended: Path) -> None:
    assert _python(extended, "-c", HEADS) == "ExactBoxROIHeads\n"


def test_the_page_s_source_is_read(extended: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    paint(source / "1.png", 0)
    (source / "boxes.csv").write_text("image,class,x0,y0,x1,y1\n1.png,cat,1,2,21,32\n")
    told = _python(extended, "-m", "app.detex", "prepare", str(source), str(tmp_path / "in"))
    assert "is read as csv: 1 CSV file (boxes.csv)" in told
    written = json.loads((tmp_path / "in/annotations/train.json").read_text())
    assert [one["bbox"] for one in written["annotations"]] == [[1, 2, 20, 30]]


CHECK = """
import sys
from app.detex.__main__ import app
app(["check", sys.argv[1]], standalone_mode=False)
"""

MODEL = """
    MODEL.WEIGHTS '' MODEL.META_ARCHITECTURE WeightedRetinaNet
    MODEL.BACKBONE.NAME build_patches_laterals_backbone MODEL.FPN.IN_FEATURES "['c3','c4']"
    MODEL.PATCHES.OUT_FEATURES "['c3','c4']" MODEL.PATCHES.CHANNELS 8
    MODEL.RETINANET.IN_FEATURES "['p3','p4']" MODEL.ANCHOR_GENERATOR.SIZES [[24,48]]
    MODEL.WEIGHTED_RETINANET.BOX_WEIGHT 3.0
"""

RUN = """
import sys
from pathlib import Path
from app.settings_check import check_settings
from executor.env import load_env
env = load_env(Path(sys.argv[1]))
assert not any(name in sys.modules for name in ("torch", "numpy"))
print(*check_settings(env, env.require_tasks()))
assert not any(name in sys.modules for name in ("torch", "numpy"))
from app.tasks.__main__ import run_tasks
run_tasks(env, lambda fraction: None)
"""


def test_the_page_s_examples_run(extended: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("assets", "annotations", "models"):
        (folder / name).mkdir(parents=True)
    (tmp_path / "out/models").mkdir(parents=True)
    (tmp_path / "out/tensorboard").mkdir()
    names = list(COLOURS)
    lines = []
    for number in range(6):
        image, annotation = (
            folder / f"assets/{number}.png",
            folder / f"annotations/{number}.columns",
        )
        boxes = paint(image, number)
        annotation.write_text(
            "".join(
                f"{names[class_id]};{x0};{y0};{x1 + 1};{y1 + 1}\n"
                for class_id, x0, y0, x1, y1 in boxes
            )
        )
        lines.append(f"{image}\t{annotation}\n")
    (folder / "train-index.tsv").write_text("".join(lines[:4]))
    (folder / "val-index.tsv").write_text("".join(lines[4:]))
    (folder / "candidate-index.tsv").write_text("".join(f"{line.split()[0]}\n" for line in lines))

    settings: dict[str, object] = {"config_file": LIGHT, "export_format": "columns:raw"}
    (folder / "config.yaml").write_text(yaml.safe_dump({"class_names": names, **settings}))
    found = _python(extended, "-c", CHECK, str(folder))
    assert "note: " in found
    assert "train-index.tsv: training set: only 4 images\n    -> label more images" in found
    _run(
        extended,
        tmp_path,
        "training",
        **settings,
        args_options=" ".join(MODEL.split()),
        max_iter=2,
        image_size=64,
        export="labels",
    )
    result = yaml.safe_load((tmp_path / "out/models/result.yaml").read_text())
    stage = tmp_path / "out/models" / result["best_stage_name"]
    assert (stage / "labels.txt").read_text().split("\n")[:2] == names
    config = yaml.safe_load((stage / "config.yaml").read_text())["MODEL"]
    assert config["META_ARCHITECTURE"] == "WeightedRetinaNet"
    assert config["PATCHES"] == {"CHANNELS": 8, "OUT_FEATURES": ["c3", "c4"]}

    shutil.copytree(stage, folder / "models/stage")
    files = [str(path) for path in (folder / "models/stage").iterdir()]
    _run(
        extended,
        tmp_path,
        "mining",
        model_params_path=files,
        mining_algorithm="crowd",
        image_size=64,
    )
    ranked = [line.split("\t") for line in (tmp_path / "out/result.tsv").read_text().splitlines()]
    assert len(ranked) == 6
    assert all(float(score) == int(float(score)) for _, score in ranked)

    _run(extended, tmp_path, "sizes")
    sizes = (tmp_path / "out/sizes.tsv").read_text().splitlines()
    assert sizes == [f"{line.split()[0]}\t96\t64" for line in lines]


def _run(root: Path, folder: Path, task: str, **settings: object) -> None:
    config = {"class_names": list(COLOURS), "gpu_id": "", "num_workers": 0, **settings}
    (folder / "in/config.yaml").write_text(yaml.safe_dump(config))
    env = {
        "input": {"root_dir": str(folder / "in")},
        "output": {"root_dir": str(folder / "out")},
        "protocol_version": "1.1.0",
        "task_id": "t1",
        f"run_{task}": True,
    }
    (folder / "in/env.yaml").write_text(yaml.safe_dump(env))
    _python(root, "-c", RUN, str(folder / "in/env.yaml"))
