"""A run between two iterations: what changes, how it is saved, restored and found to diverge."""
