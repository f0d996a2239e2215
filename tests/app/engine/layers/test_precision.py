import pytest
import torch

from app.engine.layers.precision import autocast


@pytest.mark.parametrize(
    ("asked", "computed"),
    [
        pytest.param(None, torch.float32, id="as the weights are"),
        pytest.param(torch.bfloat16, torch.bfloat16, id="bf16"),
        pytest.param(torch.float16, torch.float16, id="fp16"),
    ],
)
def test_products_are_computed_in_the_precision_that_is_asked_for(asked, computed):
    x = torch.ones(2, 2)
    with autocast(torch.device("cpu"), asked):
        assert (x @ x).dtype == computed
