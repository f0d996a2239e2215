"""Trained models: where their files lie, how they are opened, and what programs do with them.

No module of this room imports torch before a model is opened that needs it.
"""
