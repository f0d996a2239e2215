"""How well and how fast a model learns small data on a CPU: starts and recipes, side by side."""
