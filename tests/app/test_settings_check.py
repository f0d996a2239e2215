"""The check of config.yaml and the engine's config reports all wrong keys, without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.places import CONFIG_ROOT
from app.settings_check import check_settings
from app.tasks.config_file import suggested_config
from executor.env import Env, InputPaths
from executor.errors import ConfigError, ObjectTypeError
from executor.task_words import Task

STOCK = "configs/COCO-Detection"
LIGHT = "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml"
MASKS = "configs/Mobile/mask_rcnn_mobilenetv2_FPN_light.yaml"


def checked(folder: Path, config: str, *, num_images: int = 100, num_val: int = 10) -> list[str]:
    """The remarks on a training with this config.yaml."""
    root = folder / "in"
    root.mkdir(exist_ok=True)
    (root / "config.yaml").write_text(config)
    (root / "train-index.tsv").write_text("/in/a.png\t/in/a.txt\n" * num_images)
    (root / "val-index.tsv").write_text("/in/b.png\t/in/b.txt\n" * num_val)
    env = Env(input=InputPaths.model_validate({"root_dir": str(root)}), run_training=True)
    return check_settings(env, env.tasks)


def refused(folder: Path, config: str, **options: int) -> list[str]:
    """The lines of the refusal."""
    with pytest.raises(ConfigError) as caught:
        checked(folder, config, **options)
    return str(caught.value).splitlines()


def test_everything_wrong_is_one_list_with_a_count(tmp_path: Path) -> None:
    *lines, last = refused(
        tmp_path,
        f"""class_names: [cat, dog]
batch_size: 0
config_file: {LIGHT}
args_options: SOLVER.GAMMA 0 SOLVER.BASE_LR 1 TEST.METRIC AP SOLVER.MOMENTUMM 1
epochs: 3
""",
    )
    assert [line.partition(": ")[0] for line in lines] == [
        "config.yaml:2:1",
        *["config.yaml:4:1"] * 4,
        "config.yaml:5:1",
    ]
    assert "args_options: SOLVER.GAMMA is 0.0, but must be a number above 0, up to 1" in lines[3]
    assert last == (
        "6 problems in config.yaml: batch_size, args_options SOLVER.BASE_LR, args_options "
        "SOLVER.MOMENTUMM, args_options SOLVER.GAMMA, args_options TEST.METRIC, epochs"
    )


def test_one_problem_is_one_line(tmp_path: Path) -> None:
    (line,) = refused(tmp_path, "class_names: [cat]\nargs_options: SOLVER.GAMMA 0\n")
    assert line.startswith("config.yaml:2:1: args_options: SOLVER.GAMMA is 0.0, but must be")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        pytest.param("args_options: TEST.METRIC bbox/AP5", "choose bbox/AP, ", id="metric"),
        pytest.param("args_options: TEST.METRIC bbox/AP-cow", "AP-NAME", id="metric of no class"),
        pytest.param("args_options: TEST.METRIC segm/AP50", "choose bbox/AP", id="no masks"),
        pytest.param("export: onnx\nargs_options: TEST.AUG.ENABLED True", "image once", id="AUG"),
        pytest.param("export: onnx\nargs_options: INPUT.FORMAT YUV-BT.601", "RGB, L", id="YUV"),
        pytest.param(
            f"export: int8\nconfig_file: {MASKS}\n"
            "args_options: MODEL.ROI_MASK_HEAD.POOLER_TYPE ROIPool",
            "use ROIAlignV2",
            id="pooler",
        ),
        pytest.param(
            f"config_file: {LIGHT}\nargs_options: SOLVER.BASE_LR_END 0.5\nlearning_rate: 0.1",
            "must not exceed the learning rate, 0.1",
            id="rate at the end",
        ),
        pytest.param(
            "accepted_smells: crowds, xywh-box",
            "accepted_smells: 'xywh-box' is no smell; did you mean xywh-boxes?; known are xyxy-",
            id="smell",
        ),
        pytest.param(
            "args_options: DATASETS.ACCEPTED_SMELLS \"['crowds']\"",
            "accepted_smells decides it",
            id="smell in the engine's words",
        ),
        pytest.param("tile_size: 20", "is too small (got '20'); give 32 or more", id="tiny tiles"),
        pytest.param(
            "tile_size: 100\ntile_overlap: 100", "give at most 75", id="tiles that only overlap"
        ),
        pytest.param("tile_overlap: 100", "no tiles that could overlap", id="overlap of no tiles"),
        pytest.param(
            f"tile_overlap: 100\nconfig_file: {LIGHT}\nargs_options: INPUT.TILES.SIZE 90",
            "an overlap of 100 pixels leaves tiles of 90 pixels nothing",
            id="overlap of the config's tiles",
        ),
        pytest.param(
            "max_iter: 0\nmax_minutes: 5\nargs_options: SOLVER.STEPS (60,)",
            "only the time tells how many there are",
            id="decay steps of an unknown number of iterations",
        ),
        pytest.param("max_minutes: -1", "max_minutes", id="no time"),
        pytest.param("config_file: /etc", "lies outside", id="elsewhere"),
        pytest.param("config_file: configs", "is no file", id="a folder"),
    ],
)
def test_refused(tmp_path: Path, config: str, words: str) -> None:
    (line,) = refused(tmp_path, f"class_names: [cat, dog]\n{config}\n")
    assert words in line


def test_int8_needs_a_validation_set(tmp_path: Path) -> None:
    config = "class_names: [cat]\nexport: onnx,int8\n"
    assert checked(tmp_path, config) == []
    (line,) = refused(tmp_path, config, num_val=0)
    assert "int8 is measured on a validation set" in line


@pytest.mark.parametrize(
    ("object_type", "config_file", "words"),
    [
        pytest.param(4, LIGHT, "asks for instance segmentation", id="boxes for masks"),
        pytest.param(4, MASKS, "", id="masks"),
        pytest.param(2, f"{STOCK}/rpn_R_50_FPN_1x.yaml", "no boxes", id="proposals"),
        pytest.param(2, f"{STOCK}/fast_rcnn_R_50_FPN_1x.yaml", "proposals", id="fast"),
    ],
)
def test_another_kind_of_model(
    tmp_path: Path, object_type: int, config_file: str, words: str
) -> None:
    config = f"class_names: [cat]\nobject_type: {object_type}\nconfig_file: {config_file}\n"
    if words:
        with pytest.raises(ObjectTypeError, match=words):
            checked(tmp_path, config)
    else:
        assert checked(tmp_path, config) == []


@pytest.mark.parametrize(
    ("config", "num_images", "words"),
    [
        pytest.param("learning_rate: 10", 100, "is 8000 times the 0.00125", id="rate"),
        pytest.param("learning_rate: 0.0001", 100, "12 times less than", id="small rate"),
        pytest.param("learning_rate: 0.01", 100, "", id="rate as for a larger batch"),
        pytest.param("learning_rate: 0.0002", 100, "", id="rate as for a smaller batch"),
        pytest.param("batch_size: 4096", 8, "more than the 8 training images", id="batch"),
        pytest.param("batch_size: 8", 8, "", id="as many as there are"),
        pytest.param("batch_size: 4", 0, "", id="no images: told later"),
    ],
)
def test_what_is_most_likely_not_meant_is_warned_of(
    tmp_path: Path, config: str, num_images: int, words: str
) -> None:
    remarks = checked(tmp_path, f"class_names: [cat]\n{config}\n", num_images=num_images)
    assert len(remarks) == bool(words)
    assert words in "".join(remarks)


@pytest.mark.parametrize(
    ("written", "suggested"),
    [
        pytest.param("yolov8n.yaml", LIGHT, id="YOLO"),
        pytest.param("yolov8s-seg.pt", "COCO-InstanceSegmentation/mask_rcnn_R_50", id="masks"),
        pytest.param("ssd_mobilenet_v2.config", "configs/SSD/ssd_mobilenetv2", id="SSD"),
        pytest.param("configs/yolox/yolox_tiny_8x8_300e_coco.py", LIGHT, id="another zoo"),
        pytest.param("faster_rcnn_r50_fpn_1x_coco.py", "faster_rcnn_R_50_FPN_1x.yaml", id="near"),
        pytest.param("retinanet_R_50_FPN_1x", "COCO-Detection/retinanet_R_50", id="no ending"),
        pytest.param("Base-RCNN-C4", "configs/COCO-Detection/", id="a base"),
        pytest.param("resnet50", "retinanet_R_50_FPN_1x.yaml", id="anything else: the default"),
    ],
)
def test_suggested_configs(written: str, suggested: str) -> None:
    found = suggested_config(written)
    assert suggested in found
    assert "Base-" not in found
    assert (CONFIG_ROOT / found).is_file()


def test_other_tasks_need_no_engine(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("args_options: SOLVER.GAMMA 0\n")
    paths = InputPaths.model_validate({"root_dir": str(tmp_path)})
    (remark,) = check_settings(Env(input=paths), [Task.INFER])
    assert "not used by this task" in remark


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param("tile_overlap: 90", "leaves tiles of 80 pixels nothing", id="overlap"),
        pytest.param("tile_size: 60\ntile_overlap: 50", "more than 16 tiles", id="own tiles"),
        pytest.param("tile_size: 100\ntile_overlap: 60", "", id="fits"),
        pytest.param("tile_overlap: 40", "", id="fits the model's tiles"),
    ],
)
@pytest.mark.parametrize("task", [Task.INFER, Task.MINING])
def test_tiles_must_fit_the_model(tmp_path: Path, settings: str, words: str, task: Task) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "model.pth").touch()
    (models / "config.yaml").write_text("INPUT: {TILES: {SIZE: 80}}\n")
    (tmp_path / "config.yaml").write_text(settings)
    env = Env(input=InputPaths.model_validate({"root_dir": str(tmp_path)}))
    if not words:
        assert check_settings(env, [task]) == []
        return
    with pytest.raises(ConfigError, match=words) as caught:
        check_settings(env, [task])
    assert len(str(caught.value).splitlines()) == 1


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "class_names: [cat]\nargs_options: SOLVER.GAMMA 0\nconfig_file: yolov8n.yaml\n"
        "accepted_smells: x\n"
    )
    program = f"""
import sys, time
from pathlib import Path
import app.supervisor
from app.settings_check import check_settings
from executor.env import Env, InputPaths
from executor.task_words import Task
paths = InputPaths.model_validate({{"root_dir": {str(tmp_path)!r}}})
try:
    check_settings(Env(input=paths), [Task.TRAINING])
except ValueError as error:
    print(str(error).splitlines()[-1])
print(sorted({{"torch", "numpy", "torchvision", "PIL"}} & sys.modules.keys()))
print(time.process_time())
"""
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=CONFIG_ROOT, capture_output=True, text=True, check=True
    )
    last, heavy, seconds = run.stdout.splitlines()
    assert (
        last == "3 problems in config.yaml: args_options SOLVER.GAMMA, config_file, accepted_smells"
    )
    assert heavy == "[]"
    assert float(seconds) < 2  # of a processor; 0.35 where nothing else runs and code is compiled
