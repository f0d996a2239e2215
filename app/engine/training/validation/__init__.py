"""Evaluations during a run, the choice of the best model, and early stopping."""
