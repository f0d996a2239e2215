"""How a model is trained: `train.train` is the way in."""
