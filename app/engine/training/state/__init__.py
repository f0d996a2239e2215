"""The state of a run between two iterations: saving, restoring and detection of divergence."""
