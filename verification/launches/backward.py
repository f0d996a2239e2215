"""Compute gradients by a walk over torch's graph in Python, in place of its engine in C++."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

Gradients = list[Tensor | None]


@torch.no_grad()
def backward(loss: Tensor, gradient: Tensor | None = None, *_: Any, **__: Any) -> None:
    """Add the gradients of a scalar to the leaves, as `torch.autograd.backward` does."""
    root = loss.grad_fn
    assert root is not None
    missing = Counter(follower for node in _nodes(root) for follower, _ in _followers(node))
    waiting: dict[Any, Gradients] = {}
    _add(waiting, root, 0, torch.ones_like(loss) if gradient is None else gradient)
    ready = [root]
    while ready:
        node = ready.pop()
        results = _run(node, waiting.pop(node, []))
        for (follower, index), result in zip(_followers(node), results, strict=True):
            _add(waiting, follower, index, result)
            missing[follower] -= 1
            if not missing[follower]:
                ready.append(follower)


def _nodes(root: Any) -> Iterator[Any]:
    seen, stack = {root}, [root]
    while stack:
        node = stack.pop()
        yield node
        fresh = {follower for follower, _ in _followers(node)} - seen
        seen |= fresh
        stack.extend(fresh)


def _followers(node: Any) -> list[tuple[Any, int]]:
    return [pair for pair in node.next_functions if pair[0] is not None]


def _add(waiting: dict[Any, Gradients], node: Any, index: int, gradient: Tensor | None) -> None:
    places = waiting.setdefault(node, [])
    places.extend([None] * (index + 1 - len(places)))
    if gradient is not None:
        # As in torch's engine: broadcast sides are summed, the number format is the input's.
        wanted = node._input_metadata[index]
        gradient = gradient.sum_to_size(wanted.shape).to(wanted.dtype)
        known = places[index]
        places[index] = gradient if known is None else known + gradient


def _run(node: Any, gradients: Gradients) -> Gradients:
    """The gradients that a node computes for each of its inputs from those of its outputs."""
    if all(gradient is None for gradient in gradients):
        return [None] * len(_followers(node))
    if hasattr(node, "variable"):
        _accumulate(node.variable, gradients[0])
        return []
    gradients += [None] * (len(node._input_metadata) - len(gradients))
    found = (node.apply if hasattr(node, "apply") else node)(*gradients)
    results = found if isinstance(found, tuple) else (found,)
    # A function in Python also returns gradients of its other arguments, at the end.
    pairs = zip(results, node.next_functions, strict=False)
    return [result for result, (follower, _) in pairs if follower is not None]


def _accumulate(leaf: Tensor, gradient: Tensor | None) -> None:
    assert gradient is not None
    # Not copied, as in torch's engine: nothing else uses this gradient.
    leaf.grad = gradient.detach() if leaf.grad is None else leaf.grad + gradient
