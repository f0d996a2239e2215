"""Updates of a model: the step of the optimiser, the moving average, norm statistics."""
