"""oneDNN's private operators when they are right, missing, or wrong."""

import time

import pytest
import torch
from torch.nn import functional as F

from app.engine.cpu import onednn
from app.engine.cpu.onednn import Geometry, convolution, grouped_product, linear_product

KINDS = ["linear", "groups", "convolution"]


@pytest.fixture(autouse=True)
def untried():
    onednn._agrees.cache_clear()
    yield
    onednn._agrees.cache_clear()


def product(kind, dtype=torch.float32, *, bias=True):
    torch.manual_seed(0)
    if kind == "convolution":
        return convolved(dtype, bias=bias)
    groups = 1 if kind == "linear" else 3
    weight, x = torch.randn(groups, 6, 5).to(dtype), torch.randn(70, groups * 5).to(dtype)
    shift = torch.randn(groups * 6).to(dtype) if bias else None
    if kind == "linear":
        made = linear_product(weight[0], shift)
    else:
        made = grouped_product(weight, shift, 70)
    expected = torch.einsum("tgc,goc->tgo", x.view(70, groups, 5).float(), weight.float())
    expected = expected.flatten(1) + (0.0 if shift is None else shift.float())
    return made(x), expected


def convolved(dtype, *, bias):
    weight, x = torch.randn(6, 5, 3, 1).to(dtype), torch.randn(2, 10, 8, 20).to(dtype)
    shift = torch.randn(6).to(dtype) if bias else None
    made = convolution(weight, shift, Geometry((1, 0), (2, 1), (1, 2), 2), "relu")
    expected = F.conv2d(
        x.float(),
        weight.float(),
        None if shift is None else shift.float(),
        (2, 1),
        (1, 0),
        (1, 2),
        2,
    )
    return made(x.contiguous(memory_format=torch.channels_last)), expected.relu()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_products(kind, dtype, bias):
    found, expected = product(kind, dtype, bias=bias)
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 0.03
    torch.testing.assert_close(found.float(), expected, atol=10 * tolerance, rtol=tolerance)


def _wrong(*arguments):
    raise AssertionError("the plain product is to be taken")


class _Missing:
    """What `torch.ops.mkldnn` is where it lacks all operators."""

    def __getattr__(self, name):
        raise AttributeError(name)


class _Failing:
    """Operators that are there and do not work on this processor."""

    def __getattr__(self, name):
        def fail(*arguments):
            raise RuntimeError("no such instruction")

        return fail


@pytest.mark.parametrize("operators", [_Missing(), _Failing()], ids=["missing", "failing"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_plain_product_is_taken_where_the_operator_is_not_to_be_had(
    kind, operators, monkeypatch
):
    monkeypatch.setattr(torch.ops, "mkldnn", operators)
    torch.testing.assert_close(*product(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_the_plain_product_is_taken_where_the_operator_is_wrong(kind, monkeypatch, caplog):
    def wrong(*arguments):
        right = plain(*arguments)
        return lambda x: right(x) * 1.01

    plain = onednn._KINDS[kind][1]
    monkeypatch.setitem(onednn._KINDS, kind, (wrong, plain))
    torch.testing.assert_close(*product(kind))
    assert "wrong on this machine" in caplog.text


def test_switched_off_it_is_not_tried(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(onednn, "_packed_linear", _wrong)
    torch.testing.assert_close(*product("linear"))


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_tried_once(kind, monkeypatch):
    tried = []
    packed, plain = onednn._KINDS[kind]
    monkeypatch.setitem(onednn._KINDS, kind, (lambda *a: tried.append(kind) or packed(*a), plain))
    for _ in range(3):
        product(kind)
    assert tried == [kind]


def test_trying_takes_little_time():
    started = time.process_time()
    for kind in KINDS:
        for dtype in (torch.float32, torch.bfloat16):
            onednn._agrees(kind, dtype)
    assert time.process_time() - started < 0.5
