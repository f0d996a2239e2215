"""The processes that train together: how they start, their ranks, random state and precision."""
