"""How infer and mining open their model."""

from types import SimpleNamespace

import pytest

from app.engine.errors import CheckpointError
from app.tasks.trained_model import infer_opening, mining_opening, open_infer_model
from executor.errors import ObjectTypeError
from executor.hyperparameters import InferHyperparameters, MiningHyperparameters
from verification.reliability.trees import save_untrained


def test_infer_looks_at_the_views_of_a_model_and_mining_at_the_image_only():
    infer = infer_opening(InferHyperparameters(conf_threshold=0.4), device="cpu", num_images=9)
    mining = mining_opening(
        MiningHyperparameters(), device="cpu", num_images=9, score_threshold=0.05
    )
    assert (infer.views, mining.views) == (True, False)
    assert (infer.score_threshold, mining.score_threshold) == (0.4, 0.05)
    assert (infer.backend, mining.backend) == ("auto", "torch")


def opened(models, kind):
    env = SimpleNamespace(input=SimpleNamespace(models_dir=models))
    return open_infer_model(
        env, InferHyperparameters(image_size=64), device="cpu", num_images=1, kind=kind
    )


def test_masks_are_refused_in_the_platforms_words(tmp_path):
    with pytest.raises(CheckpointError, match="no weights found"):
        opened(tmp_path, "boxes")
    save_untrained(tmp_path)
    assert opened(tmp_path, "boxes").class_names
    with pytest.raises(
        ObjectTypeError, match=r"object_type 4 .* finds boxes only; .* object_type 2"
    ):
        opened(tmp_path, "masks")
