"""The model is found in every layout that platforms use."""

from pathlib import Path

import pytest

from app.engine.errors import CheckpointError
from app.engine.trained.model_files import find_model, package_class_names


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")


@pytest.mark.parametrize(
    ("files", "listed", "weights", "config"),
    [
        pytest.param(
            ["a/model.pth", "a/config.yaml"],
            ["a/model.pth", "a/config.yaml"],
            "a/model.pth",
            "a/config.yaml",
            id="a stage, as platforms from 2.0 unpack it",
        ),
        pytest.param(
            ["model.pth", "config.yaml"],
            ["config.yaml", "model.pth"],
            "model.pth",
            "config.yaml",
            id="flat, as platform 1.1 mounts it",
        ),
        pytest.param(
            ["foreign.pkl"], ["foreign.pkl"], "foreign.pkl", None, id="weights without a config"
        ),
        pytest.param(["epoch=3.ckpt"], [], "epoch=3.ckpt", None, id="Lightning's name"),
        pytest.param(["m.pth.tar"], [], "m.pth.tar", None, id="an older habit"),
        pytest.param(
            ["__MACOSX/._best.pt", "._best.pt", ".x/best.pt", "z.pt"],
            [],
            "z.pt",
            None,
            id="hidden files are no models",
        ),
        pytest.param(
            ["a/model.pth", "a/config.yaml"],
            [],
            "a/model.pth",
            "a/config.yaml",
            id="nothing is listed",
        ),
        pytest.param(
            ["a/other.pth", "a/model.pth", "a/config.yaml"],
            ["a/other.pth", "a/model.pth"],
            "a/model.pth",
            "a/config.yaml",
            id="a name of ours goes first",
        ),
    ],
)
def test_layouts(
    tmp_path: Path, files: list[str], listed: list[str], weights: str, config: str | None
) -> None:
    make(tmp_path, *files)
    found = find_model([tmp_path / name for name in listed], tmp_path)
    assert found.weights == tmp_path / weights
    assert found.config == (config and tmp_path / config)


def test_bare_copy_of_a_models_folder_gives_the_best_stage(tmp_path: Path) -> None:
    make(tmp_path, "a/model.pth", "a/config.yaml", "b/model.pth", "b/config.yaml")
    (tmp_path / "result.yaml").write_text(
        "best_stage_name: b\nmodel_stages:\n"
        "  a: {files: [model.pth, config.yaml]}\n  b: {files: [model.pth, config.yaml]}\n"
    )
    found = find_model([tmp_path / "result.yaml"], tmp_path)
    assert found.weights == tmp_path / "b/model.pth"
    assert found.config == tmp_path / "b/config.yaml"


@pytest.mark.parametrize(
    "result",
    [
        "best_stage_name: a\nmodel_stages: [a]",
        "best_stage_name: a\nmodel_stages: {a: [x]}",
        "best_stage_name: a\nmodel_stages: {a: {files: model.pth}}",
        "best_stage_name: [a]\nmodel_stages: {a: {files: [[x], {y: z}]}}",
        "best_stage_name: ..\nmodel_stages: {..: {files: [secret.pth, /etc/passwd]}}",
        f"best_stage_name: a\nmodel_stages: {{a: {{files: [{'x' * 5000}]}}}}",
    ],
    ids=[
        "list",
        "stage is a list",
        "files is a text",
        "odd names",
        "leads out",
        "long name",
    ],
)
def test_a_result_file_of_another_shape_is_passed_over(tmp_path: Path, result: str) -> None:
    make(tmp_path, "models/z/model.pth", "secret.pth")
    (tmp_path / "models/result.yaml").write_text(result)
    assert find_model([], tmp_path / "models").weights == tmp_path / "models/z/model.pth"


def test_no_weights(tmp_path: Path) -> None:
    make(tmp_path, "readme.txt")
    with pytest.raises(CheckpointError, match="no weights found"):
        find_model([], tmp_path)


def test_listed_path_must_not_lead_out(tmp_path: Path) -> None:
    make(tmp_path, "models/model.pth", "secret.pth")
    with pytest.raises(CheckpointError, match="must lie in"):
        find_model([tmp_path / "models/../secret.pth"], tmp_path / "models")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("executor_config: {class_names: [cat, no]}", ["cat", "no"], id="names"),
        pytest.param("executor_config: {}", None, id="no names"),
        pytest.param("package_version: '2.0.0'", None, id="no settings"),
    ],
)
def test_package_class_names(tmp_path: Path, text: str, expected: list[str] | None) -> None:
    (tmp_path / "ymir-info.yaml").write_text(text)
    assert package_class_names(tmp_path) == expected


def test_package_without_info(tmp_path: Path) -> None:
    assert package_class_names(tmp_path) is None


@pytest.mark.parametrize("name", ["result.yaml", "ymir-info.yaml"])
def test_a_damaged_package_file_is_the_models_fault(tmp_path: Path, name: str) -> None:
    make(tmp_path, "a/model.pth")
    (tmp_path / name).write_text("best_stage_name: [")
    with pytest.raises(CheckpointError, match=rf"{name}: damaged .*copy the model again"):
        find_model([], tmp_path)


def test_a_folder_with_the_name_of_a_model_is_told(tmp_path: Path) -> None:
    make(tmp_path, "model.pth/data.pkl", "model.pth/version")
    with pytest.raises(
        CheckpointError, match=r"no weights found.*model\.pth is a folder, not a file"
    ):
        find_model([], tmp_path)
