"""Evaluations during a run, which of its models is the best, and when it ends early."""
