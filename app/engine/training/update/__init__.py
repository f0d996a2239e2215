"""How a model's numbers change: one step of the optimiser, moving averages, norm statistics."""
