import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from executor.config_check import check_config
from executor.errors import ConfigError, ObjectTypeError
from executor.hyperparameters import (
    Hyperparameters,
    InferHyperparameters,
    MiningHyperparameters,
    TrainHyperparameters,
    load_hyperparameters,
)
from executor.other_words import WORDS
from executor.task_models import TRAITS
from executor.task_words import Task

YamlFile = Callable[[str], Path]


def test_defaults_that_users_know(yaml_file: YamlFile):
    settings = load_hyperparameters(yaml_file("class_names: [cat]"), TrainHyperparameters)
    assert settings.batch_size == 2
    assert settings.config_file == "configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml"
    assert settings.max_iter == 90000
    assert settings.learning_rate == 0.001
    assert settings.args_options == ""
    infer = load_hyperparameters(yaml_file(""), InferHyperparameters)
    mining = load_hyperparameters(yaml_file(""), MiningHyperparameters)
    assert infer.conf_threshold == mining.conf_threshold == 0.2
    assert mining.mining_algorithm == "entropy"


def test_as_a_platform_writes_it(yaml_file: YamlFile):
    text = """
class_names:
- green_disc
- red_box
export_format: ark:raw
gpu_count: 0
gpu_id: ''
max_iter: 50
object_type: 2
pretrained_model_params:
- /in/models/stage_a/model.pt
- /in/models/stage_a/config.yaml
task_id: t0000003000001234567890123456782
"""
    path = yaml_file(text)
    assert check_config(path, [Task.TRAINING]) == []
    settings = load_hyperparameters(path, TrainHyperparameters)
    assert settings.class_names == ("green_disc", "red_box")
    assert settings.gpu_ids == ()
    assert settings.pretrained_model_params[0] == Path("/in/models/stage_a/model.pt")


@pytest.mark.parametrize(
    ("key", "written", "expected"),
    [
        pytest.param("batch_size", "'4'", 4, id="number as text"),
        pytest.param("batch_size", "012", 12, id="leading zero"),
        pytest.param("batch_size", "''", 2, id="empty: default"),
        pytest.param("batch_size", "~", 2, id="null: default"),
        pytest.param("max_iter", "0", 0, id="zero: choose"),
        pytest.param("max_iter", "2.0", 2, id="integral float"),
        pytest.param("learning_rate", "1e-3", 0.001, id="exponent"),
        pytest.param("learning_rate", "1", 1.0, id="integer for a float"),
        pytest.param("ema", "'True'", True, id="boolean as the form sends it"),
        pytest.param("ema", "false", False, id="boolean"),
        pytest.param("ema", "1", True, id="boolean as a number"),
        pytest.param("amp", "off", "off", id="off is a word"),
        pytest.param("amp", "false", "off", id="off as YAML 1.1 writes it back"),
        pytest.param("amp", "' bf16 '", "bf16", id="spaces around a word"),
        pytest.param(
            "args_options", "--resume SOLVER.GAMMA 0.1", "--resume SOLVER.GAMMA 0.1", id="text"
        ),
        pytest.param("export_format", "''", "", id="left to the platform"),
        pytest.param("seed", "4294967295", 2**32 - 1, id="largest seed"),
        pytest.param("image_size", "640", 640, id="image size"),
        pytest.param(
            "pretrained_model_params",
            "/in/models/m.pth",
            (Path("/in/models/m.pth"),),
            id="one path",
        ),
    ],
)
def test_coercion(yaml_file: YamlFile, key: str, written: str, expected: object):
    path = yaml_file(f"class_names: [cat]\n{key}: {written}\n")
    assert getattr(load_hyperparameters(path, TrainHyperparameters), key) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("''", (), id="CPU"),
        pytest.param("0", (0,), id="a number"),
        pytest.param("'0,1'", (0, 1), id="as platforms write it"),
        pytest.param("'0, 1'", (0, 1), id="with a space"),
        pytest.param("[0, 1]", (0, 1), id="a list"),
        pytest.param("~", None, id="null: nobody chose"),
    ],
)
def test_gpu_ids(yaml_file: YamlFile, written: str, expected: tuple[int, ...] | None):
    path = yaml_file(f"gpu_id: {written}\n")
    assert load_hyperparameters(path, InferHyperparameters).gpu_ids == expected
    assert load_hyperparameters(yaml_file(""), InferHyperparameters).gpu_ids is None


def test_names_that_differ_in_case_are_two_classes(yaml_file: YamlFile):
    path = yaml_file("class_names: [A, a]")
    assert load_hyperparameters(path, TrainHyperparameters).class_names == ("A", "a")


def test_class_names_are_kept_as_written(yaml_file: YamlFile):
    path = yaml_file("class_names: [no, on, 012, 12:30, null, ~, 'two words', größe, 1e3]")
    names = load_hyperparameters(path, TrainHyperparameters).class_names
    assert names == ("no", "on", "012", "12:30", "null", "~", "two words", "größe", "1e3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "batch_size: 0",
            "batch_size: too small (got '0'); allowed an integer from 1 to 4096; leave it out",
            id="range",
        ),
        pytest.param("batch_size: 1.5", "batch_size: not an integer (got '1.5')", id="no integer"),
        pytest.param("batch_size: [1]", "batch_size: not an integer (got ['1'])", id="list"),
        pytest.param("max_iter: 999999999999", "max_iter: too large", id="huge"),
        pytest.param("learning_rate: -1", "learning_rate: too small", id="negative"),
        pytest.param("learning_rate: nan", "learning_rate: not a finite number", id="NaN"),
        pytest.param("learning_rate: .inf", "learning_rate: not a", id="infinite"),
        pytest.param(
            "learning_rate: fast", "learning_rate: not a number (got 'fast')", id="no number"
        ),
        pytest.param("ema: maybe", "ema: not true or false (got 'maybe')", id="no boolean"),
        pytest.param("amp: bf15", "did you mean 'bf16'?", id="misspelt word"),
        pytest.param(
            "export_format: none:raw",
            "export_format: not one of the known words",
            id="no annotations",
        ),
        pytest.param(
            "image_size: 5",
            "image_size: too small (got '5'); allowed 32 to 8192 pixels, or 0",
            id="tiny images",
        ),
        pytest.param("gpu_id: cuda:0", "gpu_id: not a list of GPU numbers", id="device name"),
        pytest.param("gpu_id: 0,0", "gpu_id: lists a GPU twice", id="GPU twice"),
        pytest.param(
            "batch_sise: 4",
            "batch_sise: unknown key (got '4'); did you mean 'batch_size'?",
            id="misspelt key",
        ),
        pytest.param("gpu_ids: 0", "did you mean 'gpu_id'?", id="misspelt platform key"),
    ],
)
def test_wrong_values(yaml_file: YamlFile, text: str, message: str):
    path = yaml_file(f"class_names: [cat]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        check_config(path, [Task.TRAINING])
    assert str(caught.value).startswith("config.yaml:2:1: ")
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "config.yaml:1:1: class_names: missing", id="missing"),
        pytest.param("class_names: []", "no class is named", id="empty list"),
        pytest.param(
            "class_names: cat, dog",
            "a single text (got 'cat, dog'); write a list: [cat, dog]",
            id="text",
        ),
        pytest.param(
            "class_names: |\n  cat\n  dog\n  cow\n  hen",
            "a single text (got 'cat\\ndog\\ncow\\nhen'); write a list: [cat, dog, cow, ...]",
            id="block of lines",
        ),
        pytest.param('class_names: ["cat\\tdog"]', "item 0 holds a line end, a tab", id="tab"),
        pytest.param("class_names:\n- |-\n  cat\n  dog", "item 0 holds a line end", id="line end"),
        pytest.param("class_names: [cat, ' cat ']", "'cat' is listed twice", id="same"),
        pytest.param(
            "class_names: [caf\u00e9, cafe\u0301]", "is listed twice", id="two Unicode forms"
        ),
        pytest.param("class_names: [cat, '']", "item 1 is empty", id="empty name"),
        pytest.param(
            "class_names: [cat, [dog]]", "config.yaml:1:20: class_names.1: not a text", id="nested"
        ),
        pytest.param(
            "class_names: {0: cat, 1: dog}", "names alone, in order: [cat, dog]", id="mapping"
        ),
    ],
)
def test_wrong_class_names(yaml_file: YamlFile, text: str, message: str):
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_config(yaml_file(text), [Task.TRAINING])


def test_all_wrong_keys_at_once_in_order_each_once(yaml_file: YamlFile):
    path = yaml_file(
        "conf_threshold: 1.2\nbatch_sise: 4\nprecision: fp33\nmining_algorithm: cal\nseed: -1\n"
    )
    with pytest.raises(ConfigError) as caught:
        check_config(path, [Task.MINING, Task.INFER])
    lines = str(caught.value).splitlines()
    *lines, last = lines
    assert [line.split(":")[1] for line in lines] == ["1", "2", "3", "4", "5"]
    assert last == (
        "5 problems in config.yaml: conf_threshold, batch_sise, precision, mining_algorithm, seed"
    )
    assert "did you mean 'cald'?" in lines[3]


@pytest.mark.parametrize(
    ("task", "backend", "precision", "words"),
    [
        pytest.param(Task.INFER, "torch", "int8", "ONNX Runtime alone", id="int8 by torch"),
        pytest.param(Task.INFER, "onnxruntime", "bf16", "torch alone", id="bf16 by ONNX"),
        pytest.param(Task.INFER, "onnxruntime", "fp16", "torch alone", id="fp16 by ONNX"),
        pytest.param(Task.MINING, "auto", "int8", "for infer alone", id="int8 in mining"),
        pytest.param(Task.INFER, "auto", "int8", "", id="int8"),
        pytest.param(Task.MINING, "onnxruntime", "bf16", "", id="mining uses torch anyway"),
    ],
)
def test_precision_and_backend_go_together(
    yaml_file: YamlFile, task: Task, backend: str, precision: str, words: str
):
    path = yaml_file(f"backend: {backend}\nprecision: {precision}\n")
    if words:
        with pytest.raises(ConfigError, match=rf"^config.yaml:2:1: precision: .*{words}.*set "):
            check_config(path, [task])
    else:
        assert check_config(path, [task]) == []


def test_a_wrong_config_is_refused_fast(yaml_file: YamlFile):
    path = yaml_file("class_names:\n" + "".join(f"- class number {i}\n" for i in range(11_000)))
    start = time.perf_counter()
    with pytest.raises(ConfigError, match=r"11000 classes .*; at most 10000"):
        check_config(path, [Task.TRAINING])
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("line", "remark"),
    [
        pytest.param("openpai_enable: false", "", id="platform's own"),
        pytest.param("git_branch: main", "", id="live code"),
        pytest.param("run_training: true", "", id="task flag"),
        pytest.param("shm_size: 128G", "", id="for the launcher"),
        pytest.param(
            "rect: 1", "rect: unknown key (got '1'), which has no effect; take it", id="foreign"
        ),
        pytest.param(
            "conf_threshold: 7", "conf_threshold: not used by this task", id="another task's"
        ),
        pytest.param(
            "notes: {a: [1]}", "notes: unknown key (got {'a': ['1']})", id="nested foreign"
        ),
    ],
)
def test_keys_of_no_effect(yaml_file: YamlFile, line: str, remark: str):
    remarks = check_config(yaml_file(f"class_names: [cat]\n{line}\n"), [Task.TRAINING])
    assert len(remarks) == bool(remark)
    assert remark in "".join(remarks)


@pytest.mark.parametrize(
    ("line", "task", "words"),
    [
        pytest.param("epochs: 100", Task.TRAINING, "write max_iter, which counts", id="epochs"),
        pytest.param("lr0: 0.01", Task.TRAINING, "write learning_rate", id="rate"),
        pytest.param("imgsz: 640", Task.TRAINING, "write image_size", id="size"),
        pytest.param("img-size: 640", Task.INFER, "write image_size", id="size, dashed, in infer"),
        pytest.param("model: yolov8n.pt", Task.TRAINING, "write config_file", id="model"),
        pytest.param("weights: a.pt", Task.TRAINING, "MODEL.WEIGHTS FILE", id="weights"),
        pytest.param("batch: 16", Task.TRAINING, "write batch_size", id="batch"),
        pytest.param("train.epochs: 9", Task.TRAINING, "write max_iter", id="in a section"),
        pytest.param("Batch: 16", Task.MINING, "write batch_size", id="batch, another case"),
        pytest.param("optimizer: Adam", Task.TRAINING, "SOLVER.OPTIMIZER", id="optimiser"),
        pytest.param("weight_decay: 0.1", Task.TRAINING, "SOLVER.WEIGHT_DECAY", id="decay"),
        pytest.param("conf: 0.3", Task.INFER, "write conf_threshold", id="confidence"),
        pytest.param("names: [a]", Task.TRAINING, "write class_names", id="classes"),
        pytest.param("nc: 80", Task.TRAINING, "their number follows", id="number of classes"),
        pytest.param(
            "SOLVER.GAMMA: 0.5", Task.TRAINING, "args_options: SOLVER.GAMMA VALUE", id="engine key"
        ),
        pytest.param(
            "SOLVER: {GAMMA: 0.5}", Task.TRAINING, "args_options: SOLVER.KEY", id="engine section"
        ),
    ],
)
def test_words_of_other_trainers_that_change_a_result_are_refused(
    yaml_file: YamlFile, line: str, task: Task, words: str
):
    with pytest.raises(ConfigError) as caught:
        check_config(yaml_file(f"class_names: [cat]\n{line}\n"), [task])
    assert str(caught.value).startswith(f"config.yaml:2:1: {line.split(':')[0]}: not a key of this")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("line", "task", "words"),
    [
        pytest.param("mosaic: 1.0", Task.TRAINING, "INPUT.COLOR_JITTER", id="augmentation"),
        pytest.param("conf: 0.3", Task.TRAINING, "config.yaml of infer", id="of infer"),
        pytest.param("workers: 8", Task.TRAINING, "write num_workers", id="readers"),
        pytest.param("device: '0'", Task.INFER, "gpu_id decides that", id="device"),
        pytest.param("save_period: 5", Task.TRAINING, "write checkpoint_period", id="saving"),
        pytest.param("iou: 0.5", Task.INFER, "that of its training", id="NMS of a model"),
        pytest.param("epochs: 9", Task.INFER, "which has no effect", id="of another task"),
        pytest.param("epochs: ''", Task.TRAINING, "which has no effect", id="empty"),
    ],
)
def test_words_of_convenience_are_remarked_on(
    yaml_file: YamlFile, line: str, task: Task, words: str
):
    (remark,) = check_config(yaml_file(f"class_names: [cat]\n{line}\n"), [task])
    assert words in remark


def test_no_word_of_others_is_a_key_of_ours_or_of_a_platform():
    keys = {key for each in TRAITS.values() for key in each.settings.model_fields}
    platform = {"task_id", "gpu_count", "shm_size", "prompt", "run_infer", "git_url", "code_config"}
    assert not WORDS.keys() & (keys | platform)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        pytest.param("yolo:raw", "leave this key out where an index", id="YOLO"),
        pytest.param("YOLO", "leave this key out", id="YOLO without a colon"),
        pytest.param("none:raw", "no annotations would come", id="nothing"),
        pytest.param("coco", "did you mean 'coco:raw'?", id="no colon"),
        pytest.param("voc", "did you mean 'voc:raw'?", id="VOC"),
        pytest.param("ark", "did you mean 'ark:raw'?", id="ark"),
    ],
)
def test_export_formats_of_others(yaml_file: YamlFile, written: str, words: str):
    with pytest.raises(ConfigError, match="export_format: not one of the known words") as caught:
        check_config(yaml_file(f"class_names: [cat]\nexport_format: {written}\n"), [Task.TRAINING])
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("names", "remark"),
    [
        pytest.param("[A, a]", "'A' and 'a' are two classes", id="case"),
        pytest.param("['cat, dog']", "'cat, dog' holds a comma and is one class", id="comma"),
        pytest.param("[1, yes, 1e3]", "", id="numbers as names"),
    ],
)
def test_odd_class_names_are_remarked_on(yaml_file: YamlFile, names: str, remark: str):
    remarks = check_config(yaml_file(f"class_names: {names}\n"), [Task.TRAINING])
    assert len(remarks) == bool(remark)
    assert remark in "".join(remarks)


@pytest.mark.parametrize(
    ("object_type", "is_refused"), [("2", False), ("3", True), ("4", False), ("50", True)]
)
def test_object_types(yaml_file: YamlFile, object_type: str, is_refused: bool):
    path = yaml_file(f"class_names: [cat]\nobject_type: {object_type}\n")
    if is_refused:
        with pytest.raises(ObjectTypeError, match="object_type: not supported"):
            check_config(path, [Task.TRAINING])
    else:
        assert check_config(path, [Task.TRAINING]) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("''", None, id="unset"),
        pytest.param("1.0, 0.5", (1.0, 0.5), id="two"),
        pytest.param("1,2,3", "3 weights for 2 classes", id="too many"),
        pytest.param("1,x", "not numbers", id="a word"),
        pytest.param("1,-1", "negative", id="negative"),
        pytest.param("0,0", "all weights are 0", id="zeros"),
        pytest.param("1,nan", "not finite", id="NaN"),
    ],
)
def test_class_distribution_scores(yaml_file: YamlFile, text: str, expected: Any):
    path = yaml_file(
        f"class_names: [cat, dog]\nmining_algorithm: aldd\nclass_distribution_scores: {text}\n"
    )
    if isinstance(expected, str):
        with pytest.raises(ConfigError, match=expected):
            load_hyperparameters(path, MiningHyperparameters)
    else:
        assert load_hyperparameters(path, MiningHyperparameters).class_weights == expected


def test_class_weights_are_refused_where_they_have_no_effect(yaml_file: YamlFile):
    path = yaml_file("mining_algorithm: entropy\nclass_distribution_scores: 1,2\n")
    with pytest.raises(ConfigError, match=r"for aldd only .*; leave it empty for entropy"):
        load_hyperparameters(path, MiningHyperparameters)


def test_mining_knows_all_that_infer_needs():
    assert InferHyperparameters.model_fields.keys() <= MiningHyperparameters.model_fields.keys()
    for key in InferHyperparameters.model_fields:
        infer, mining = (
            m.model_fields[key].default for m in (InferHyperparameters, MiningHyperparameters)
        )
        assert infer == mining


@pytest.mark.parametrize(
    "model", [each.settings for each in TRAITS.values()], ids=lambda model: model.__name__
)
def test_every_field_is_explained_and_has_a_default(model: type[Hyperparameters]):
    for key, field in model.model_fields.items():
        assert field.description, key
        assert not field.is_required() or key == "class_names"
