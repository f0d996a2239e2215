from collections.abc import Callable
from pathlib import Path

import pytest

from executor.env import Dialect, Env, load_env
from executor.errors import ConfigError
from executor.task_words import Task

YamlFile = Callable[[str], Path]

PLATFORM_2_5 = """
input: {annotations_dir: /in/annotations, assets_dir: /in/assets, candidate_index_file: '',
  config_file: /in/config.yaml, models_dir: /in/models, root_dir: /in,
  training_index_file: /in/train-index.tsv, val_index_file: /in/val-index.tsv}
manifest_file: /img-man/manifest.yaml
output: {executor_log_file: /out/ymir-executor-out.log, infer_result_file: /out/infer-result.json,
  mining_result_file: /out/result.tsv, models_dir: /out/models, monitor_file: /out/monitor.txt,
  root_dir: /out, tensorboard_dir: /out/tensorboard,
  training_result_file: /out/models/result.yaml}
protocol_version: 1.1.0
run_infer: false
run_mining: false
run_training: true
task_id: t0000003000001234567890123456782
"""


def test_as_platforms_write_it(yaml_file: YamlFile):
    env = load_env(yaml_file(PLATFORM_2_5))
    assert env.tasks == (Task.TRAINING,)
    assert env.dialect is Dialect.STAGE_FOLDERS
    assert env.task_id == "t0000003000001234567890123456782"
    assert env.input.candidate_index_file is None
    assert env.input.val_index_file == Path("/in/val-index.tsv")
    assert env.output == Env().output


@pytest.mark.parametrize("dropped", sorted(Env.model_fields))
def test_every_key_may_be_missing(yaml_file: YamlFile, dropped: str):
    env = Env.model_validate(
        {key: value for key, value in _parts(yaml_file).items() if key != dropped}
    )
    assert getattr(env, dropped) == getattr(Env(), dropped)


def _parts(yaml_file: YamlFile) -> dict[str, object]:
    return load_env(yaml_file(PLATFORM_2_5)).model_dump()


def test_every_path_may_be_missing_or_empty(yaml_file: YamlFile):
    for section in ("input", "output"):
        for key in type(getattr(Env(), section)).model_fields:
            default = getattr(getattr(Env(), section), key)
            missing = load_env(yaml_file(f"{section}: {{other: 1}}\n"))
            assert getattr(getattr(missing, section), key) == default
            empty = load_env(yaml_file(f"{section}: {{{key}: ''}}\n"))
            is_index = key.endswith("_index_file")
            assert getattr(getattr(empty, section), key) == (None if is_index else default)


@pytest.mark.parametrize(
    ("text", "models_dir"),
    [
        pytest.param("input: {models_dir: in/models}", "/in/models", id="as the verifier has it"),
        pytest.param("input: {root_dir: /x/in}", "/x/in/models", id="defaults follow the root"),
        pytest.param("input: {root_dir: /x/in, models_dir: in/m}", "/x/in/m", id="beside the root"),
        pytest.param("input: ~", "/in/models", id="null section"),
        pytest.param("", "/in/models", id="empty file"),
    ],
)
def test_paths(yaml_file: YamlFile, text: str, models_dir: str):
    assert load_env(yaml_file(text)).input.models_dir == Path(models_dir)


@pytest.mark.parametrize(
    ("version", "dialect"),
    [
        pytest.param("", Dialect.FLAT, id="absent"),
        pytest.param("0.0.1", Dialect.FLAT, id="before versions"),
        pytest.param("1.0.0", Dialect.STAGES, id="stages"),
        pytest.param("1.1.0", Dialect.STAGE_FOLDERS, id="stage folders"),
        pytest.param("2.0.0", Dialect.STAGE_FOLDERS, id="as the manual's sample has it"),
    ],
)
def test_dialects(version: str, dialect: Dialect):
    assert Env(protocol_version=version).dialect is dialect
    assert dialect.boxes_key == ("annotations" if dialect is Dialect.FLAT else "boxes")


@pytest.mark.parametrize(
    ("flags", "tasks"),
    [
        pytest.param(
            "run_mining: 1\nrun_infer: 'True'", (Task.MINING, Task.INFER), id="mining first"
        ),
        pytest.param("run_infer: true", (Task.INFER,), id="infer"),
        pytest.param("run_training: yes", (Task.TRAINING,), id="training"),
    ],
)
def test_tasks_in_order(yaml_file: YamlFile, flags: str, tasks: tuple[Task, ...]):
    assert load_env(yaml_file(flags)).require_tasks() == tasks


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "run_train: true", "env.yaml:1:1: run_train: .* did you mean 'run_training'", id="task"
        ),
        pytest.param(
            "input: {training_index: /x}",
            "env.yaml:1:9: input.training_index: .* did you mean 'training_index_file'",
            id="path",
        ),
        pytest.param(
            "run_infer: 7\noutput: {model_dir: /x}",
            "2 problems in env.yaml: run_infer, output.model_dir$",
            id="both counted",
        ),
    ],
)
def test_misspelt_keys_are_named(tmp_path: Path, text: str, message: str):
    path = tmp_path / "env.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_env(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("task_id: x", "no task is asked for", id="nothing to do"),
        pytest.param(
            "run_training: 1\nrun_infer: 1", "training runs alone", id="training and more"
        ),
        pytest.param("run_mining: maybe", r"yaml:1:1: run_mining: not true or false", id="flag"),
        pytest.param("input: [a]", r"yaml:1:1: input: not a mapping", id="section"),
        pytest.param(
            "input: {root_dir: [a]}", r"yaml:1:9: input.root_dir: not a path", id="root is a list"
        ),
        pytest.param(
            "output:\n  models_dir: [a]", r"yaml:2:3: output.models_dir: not a path", id="path"
        ),
    ],
)
def test_wrong_envs(yaml_file: YamlFile, text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        load_env(yaml_file(text)).require_tasks()


def test_task_id_is_opaque_text(yaml_file: YamlFile):
    assert load_env(yaml_file("task_id: 0123")).task_id == "0123"
