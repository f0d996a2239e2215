from pathlib import Path

import pytest
import yaml

from app.settings_check import check_settings
from executor.config_check import check_config
from executor.env import Env, InputPaths
from executor.hyperparameters import (
    TrainHyperparameters,
    load_hyperparameters,
)
from executor.task_models import TRAITS
from executor.task_words import Task
from executor.templates import MAX_VALUE, main, template_files, write_templates

IMG_MAN = Path(__file__).parents[2] / "docker" / "img-man"


@pytest.mark.parametrize("name", template_files())
def test_the_published_files_are_up_to_date(name: str):
    content = (IMG_MAN / name).read_text(encoding="utf-8")
    assert content == template_files()[name], "run `make generate`"


def test_nothing_else_is_published():
    assert {path.name for path in IMG_MAN.iterdir()} == set(template_files())


@pytest.mark.parametrize("task", Task, ids=lambda task: task.value)
def test_templates_are_what_platforms_read(task: Task, tmp_path: Path):
    template = yaml.safe_load(template_files()[f"{task.value}-template.yaml"])
    for key, value in template.items():
        assert type(value) in (str, int, float, bool), key
        assert len(str(value)) <= MAX_VALUE
        assert len(key) <= 50
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**template, "class_names": ["cat"]}))
    assert check_config(path, [task]) == []


@pytest.mark.parametrize("task", Task, ids=lambda task: task.value)
def test_template_values_are_the_defaults(task: Task):
    template = yaml.safe_load(template_files()[f"{task.value}-template.yaml"])
    fields = TRAITS[task].settings.model_fields
    differing = {key for key, value in template.items() if value != fields[key].default}
    assert differing == ({"export_format"} if task is Task.TRAINING else set())


def test_an_image_for_instance_segmentation(tmp_path: Path):
    main([str(tmp_path), "4"])
    assert yaml.safe_load((tmp_path / "manifest.yaml").read_text()) == {"object_type": 4}
    boxes = yaml.safe_load(template_files()["training-template.yaml"])
    masks = yaml.safe_load((tmp_path / "training-template.yaml").read_text())
    assert {key for key in boxes if boxes[key] != masks[key]} == {"config_file", "export_format"}
    assert masks["export_format"] == "seg-coco:raw"
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({**masks, "class_names": ["cat"], "object_type": 4}))
    env = Env(input=InputPaths.model_validate({"root_dir": str(tmp_path)}))
    assert check_settings(env, [Task.TRAINING]) == []
    others = {name for name in template_files() if not name.startswith(("training", "manifest"))}
    assert {name: (tmp_path / name).read_text() for name in others} == {
        name: template_files()[name] for name in others
    }


@pytest.mark.parametrize("object_type", ["3", "50", "[2, 4]", ""])
def test_no_image_for_other_objects(tmp_path: Path, object_type: str):
    with pytest.raises(SystemExit, match=r"2 \(boxes\) or 4 \(masks\)"):
        main([str(tmp_path), object_type])


def test_what_platforms_look_for(tmp_path: Path):
    write_templates(tmp_path)
    training = yaml.safe_load((tmp_path / "training-template.yaml").read_text())
    assert training["export_format"] == "ark:raw"
    assert not training.keys() & {"class_names", "gpu_id", "task_id", "gpu_count"}
    assert yaml.safe_load((tmp_path / "manifest.yaml").read_text()) == {"object_type": 2}


def test_as_the_form_sends_it(tmp_path: Path):
    """Everything a user touched arrives as text, and what is empty does not arrive."""
    template = yaml.safe_load(template_files()["training-template.yaml"])
    touched = {key: str(value) for key, value in template.items() if value != ""}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**touched, "class_names": ["cat"]}))
    settings = load_hyperparameters(path, TrainHyperparameters)
    path.write_text("class_names: [cat]\nexport_format: ark:raw\n")
    assert settings == load_hyperparameters(path, TrainHyperparameters)
