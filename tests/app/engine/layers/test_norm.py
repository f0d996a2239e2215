from copy import deepcopy

import pytest
import torch
from torch import nn

from app.engine.errors import ConfigError
from app.engine.layers.norm import (
    FrozenBatchNorm2d,
    LayerNorm,
    NaiveSyncBatchNorm,
    PerLevelBatchNorm,
    SyncBatchNorm,
    freeze_batch_norm,
    get_norm,
)


def _random_norm() -> FrozenBatchNorm2d:
    norm = FrozenBatchNorm2d(4)
    for buffer in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        buffer.copy_(torch.rand(4) + 0.5)
    return norm


def test_a_fresh_frozen_norm_is_exactly_the_identity():
    x = torch.randn(2, 4, 3, 5)
    assert torch.equal(FrozenBatchNorm2d(4)(x), x)


def test_frozen_norm_gives_the_same_with_and_without_gradients():
    norm, x = _random_norm(), torch.randn(2, 4, 3, 5)
    with_gradient = norm(x.clone().requires_grad_())
    torch.testing.assert_close(with_gradient.detach(), norm(x))


def test_frozen_norm_passes_the_gradient_of_its_scale():
    norm, x = _random_norm(), torch.randn(2, 4, 3, 5, requires_grad=True)
    norm(x).sum().backward()
    assert x.grad is not None
    expected = norm.scale_and_shift()[0].view(1, 4, 1, 1).expand_as(x)
    torch.testing.assert_close(x.grad, expected)


def test_frozen_norm_keeps_half_precision():
    x = torch.randn(1, 4, 2, 2, dtype=torch.bfloat16)
    assert _random_norm()(x.requires_grad_()).dtype == torch.bfloat16


def test_frozen_norm_takes_the_state_of_a_batch_norm():
    batch_norm = nn.BatchNorm2d(4)
    batch_norm(torch.randn(8, 4, 3, 3) + 2)  # statistics of its own
    frozen = FrozenBatchNorm2d(4)
    assert not any(frozen.load_state_dict(batch_norm.state_dict()))  # nothing missing or unexpected
    x = torch.randn(2, 4, 3, 5)
    torch.testing.assert_close(frozen(x), batch_norm.eval()(x).detach())


@pytest.mark.parametrize("copied", [False, True], ids=["itself", "its copy"])
def test_frozen_norm_takes_new_numbers_after_use(copied):
    norm = _random_norm()
    norm.load_state_dict(_random_norm().state_dict())
    norm.scale_and_shift()
    other = _random_norm()
    reloaded = deepcopy(norm) if copied else norm
    reloaded.load_state_dict(other.state_dict())
    if copied:  # as often changed as the first was when it was used
        assert reloaded.weight._version == norm.weight._version
    assert torch.equal(reloaded.scale_and_shift()[0], other.scale_and_shift()[0])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param("BN", nn.BatchNorm2d, id="BN"),
        pytest.param("SyncBN", SyncBatchNorm, id="SyncBN"),
        pytest.param("nnSyncBN", SyncBatchNorm, id="nnSyncBN"),
        pytest.param("naiveSyncBN", NaiveSyncBatchNorm, id="naiveSyncBN"),
        pytest.param("naiveSyncBN_N", NaiveSyncBatchNorm, id="naiveSyncBN_N"),
        pytest.param("FrozenBN", FrozenBatchNorm2d, id="FrozenBN"),
        pytest.param("GN", nn.GroupNorm, id="GN"),
        pytest.param("LN", LayerNorm, id="LN"),
    ],
)
def test_norms_by_name(name, kind):
    norm = get_norm(name, 32)
    assert isinstance(norm, kind)
    assert norm(torch.randn(2, 32, 4, 4)).shape == (2, 32, 4, 4)


def test_no_name_means_no_norm():
    assert get_norm("", 8) is None


def test_channels_that_groups_do_not_divide_are_refused():
    with pytest.raises(ConfigError, match="multiple of 32"):
        get_norm("GN", 24)


def test_layer_norm_normalises_over_channels():
    norm = LayerNorm(6)
    x = torch.randn(2, 6, 3, 3)
    expected = torch.nn.functional.layer_norm(x.permute(0, 2, 3, 1), (6,), eps=1e-6)
    torch.testing.assert_close(norm(x), expected.permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    "affine", [pytest.param(True, id="affine"), pytest.param(False, id="plain")]
)
def test_freezing_keeps_the_numbers(affine):
    module = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=affine)))
    module.train()(torch.randn(8, 3, 4, 4))
    module.eval()
    x = torch.randn(2, 3, 4, 4)
    before = module(x)
    frozen = freeze_batch_norm(module)
    assert isinstance(frozen[0][1], FrozenBatchNorm2d)
    assert torch.equal(frozen.train()(x.detach()).detach(), before.detach()) or torch.allclose(
        frozen(x), before, atol=1e-6
    )


def test_freezing_keeps_the_keys():
    norm = nn.BatchNorm2d(4)
    assert set(freeze_batch_norm(norm).state_dict()) == set(norm.state_dict())


def test_levels_share_the_affine_part_but_not_the_statistics():
    norm = PerLevelBatchNorm(2, 4, sync=False).train()
    for _ in range(50):
        norm.normalize(torch.randn(4, 4, 4, 4), 0)
        norm.normalize(torch.randn(4, 4, 4, 4) + 10, 1)
    means = [norm.get_buffer(f"{level}.running_mean").mean() for level in range(2)]
    assert means[0].abs() < 1
    assert (means[1] - 10).abs() < 1
    assert sorted(name for name, _ in norm.named_parameters()) == ["bias", "weight"]
    norm.weight.data[1], norm.bias.data[:] = 3.0, torch.tensor([5.0, -7.0, 0.0, 0.0])
    means = norm.normalize(torch.randn(4, 4, 4, 4), 0).mean(dim=(0, 2, 3))
    torch.testing.assert_close(means, norm.bias.detach(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("sync", "kind"), [(False, nn.BatchNorm2d), (True, SyncBatchNorm)])
def test_levels_have_statistics_of_their_own_kind(sync, kind):
    assert [type(level) for level in PerLevelBatchNorm(2, 4, sync=sync)] == [kind, kind]
