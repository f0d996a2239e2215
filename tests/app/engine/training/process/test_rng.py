"""The random state of a process is kept, restored and protected."""

import random

import numpy as np
import torch

from app.engine.checkpoint.store import is_plain
from app.engine.training.process.rng import rng_preserved, rng_state, seed_all, set_rng_state


def draws():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_random_state_round_trip():
    seed_all(3)
    draws()
    np.random.standard_normal()  # leaves a cached second value behind
    state = rng_state()
    expected = draws()
    draws()
    set_rng_state(state)
    assert draws() == expected
    assert is_plain(state)


def test_random_state_preserved():
    seed_all(3)
    expected = draws()
    seed_all(3)
    with rng_preserved():
        seed_all(99)
        draws()
    assert draws() == expected
