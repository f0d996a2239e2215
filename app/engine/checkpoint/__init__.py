"""Find weights, read them safely, load them into a model, and save the state of a run."""

from app.engine.checkpoint.detectron2_file import detectron2_yaml, save_detectron2
from app.engine.checkpoint.files import StateFile, read_checkpoint
from app.engine.checkpoint.load import LoadReport, load_weights
from app.engine.checkpoint.store import CheckpointStore
from app.engine.checkpoint.weights import find_weights

__all__ = [
    "CheckpointStore",
    "LoadReport",
    "StateFile",
    "detectron2_yaml",
    "find_weights",
    "load_weights",
    "read_checkpoint",
    "save_detectron2",
]
