"""Training of a model; `train.train` is the entry point."""
