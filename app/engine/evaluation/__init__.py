"""How good detections are: `evaluate.evaluate` is the way in; `visualize` shows them."""
