"""How batches share the cores of a CPU."""

import pytest
import torch

from app.engine.trained.torch_model import streams_on_cpu


@pytest.mark.parametrize(
    ("threads", "batch_size", "num_images", "expected"),
    [
        pytest.param(2, 4, 2000, 2, id="one for each thread"),
        pytest.param(16, 8, 2000, 4, id="not too many"),
        pytest.param(16, 2, 2000, 2, id="no more images than a batch has"),
        pytest.param(16, 8, 1, 1, id="all threads for a single image"),
        pytest.param(1, 4, 2000, 1, id="one thread"),
        pytest.param(2, 4, 0, 1, id="no images"),
    ],
)
def test_streams(monkeypatch, threads, batch_size, num_images, expected):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert streams_on_cpu(batch_size, num_images) == expected
