"""Whole runs on a fake GPU: `gpu_id` to the files of /out."""

import json
from typing import Any

import pytest
import yaml

from app.engine.trained import devices
from app.tasks.__main__ import run_tasks
from verification.launches.fake_gpu import fake_gpu


@pytest.fixture(autouse=True)
def _driver(monkeypatch: Any) -> None:
    """/dev shows one."""
    monkeypatch.setattr(devices, "GPU_FILES", ("null",))


def ignore(_: float) -> None:
    """Progress of no interest."""


def model_files(tree: Any) -> list[str]:
    return [str(path) for path in (tree.root / "in/models").rglob("*") if path.is_file()]


def test_training_by_number(tree: Any, train_settings: dict[str, Any]) -> None:
    tree.write_env(run_training=True)
    tree.write_config(**train_settings, eval_period=1, gpu_id="0")
    with fake_gpu() as gpu:
        run_tasks(tree.env, ignore)
    result = yaml.safe_load((tree.out / "models/result.yaml").read_text())
    assert result["best_stage_name"] in result["model_stages"]
    assert gpu.launches.total() > 1000


def infer(tree: Any, gpu_id: str) -> dict[str, Any]:
    tree.write_env(run_infer=True)
    tree.write_config(
        model_params_path=model_files(tree),
        conf_threshold=0.0,
        image_size=64,
        gpu_id=gpu_id,
        precision="fp32",
    )
    run_tasks(tree.env, ignore)
    found: dict[str, Any] = json.loads((tree.out / "infer-result.json").read_text())["detection"]
    return found


def test_infer_finds_what_a_cpu_finds(with_model: Any) -> None:
    expected = infer(with_model, "")
    (with_model.out / "infer-result.json").unlink()
    with fake_gpu() as gpu:
        found = infer(with_model, "0")
    assert gpu.launches.total() > 1000
    assert found.keys() == expected.keys()
    for name, image in expected.items():
        scores, wanted = ([box["score"] for box in f[name]["boxes"]] for f in (found, expected))
        assert scores == pytest.approx(wanted, abs=1e-4)
        assert len(image["boxes"]) > 0


@pytest.mark.parametrize("algorithm", ["entropy", "aldd", "cald"])
def test_mining_ranks_as_on_a_cpu(with_model: Any, algorithm: str) -> None:
    with_model.write_env(run_mining=True)
    ranked = []
    for gpu_id in ("", "0"):
        with_model.write_config(
            model_params_path=model_files(with_model),
            mining_algorithm=algorithm,
            image_size=64,
            gpu_id=gpu_id,
            precision="fp32",
        )
        with fake_gpu() as gpu:
            run_tasks(with_model.env, ignore)
        assert bool(gpu.launches) == bool(gpu_id)
        lines = (with_model.out / "result.tsv").read_text().splitlines()
        ranked.append({name: float(score) for name, score in (line.split("\t") for line in lines)})
    assert ranked[1] == pytest.approx(ranked[0], abs=1e-3)
