"""Detected objects as plain arrays."""

import numpy as np

from app.engine.evaluation.instances import ImageInstances


def test_the_best_keep_their_order_where_scores_are_equal():
    scores = np.repeat(np.float32([0.2, 0.9]), 500)
    found = ImageInstances(np.zeros((1000, 4), np.float32), scores, np.arange(1000))
    assert found.best(502).classes.tolist() == [*range(500, 1000), 0, 1]
