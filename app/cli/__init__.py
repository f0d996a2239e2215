"""The engine by hand: train, evaluate, detect and export with detectron2's configs and folders.

`python -m app.cli VERB --help`. This package does not depend on the platform.
"""
