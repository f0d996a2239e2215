"""The loop over iterations, what follows each of them, and what puts the parts together."""
