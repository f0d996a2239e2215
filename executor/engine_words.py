"""What settings can name of the engine; `make generate` writes it from its tables."""

from typing import Literal

MiningAlgorithm = Literal["entropy", "least_confidence", "margin", "cald", "aldd", "random"]
MINING_ALGORITHMS = (
    "entropy, least_confidence, margin (unsure detections)",
    "cald (detections that change with the view)",
    "aldd (doubtful regions, small objects)",
    "random",
)
USERS = {
    "aggregate": ("entropy", "least_confidence", "margin"),
    "empty_policy": ("entropy", "least_confidence", "margin", "cald"),
    "seed": ("cald", "random"),
    "class_weights": ("aldd",),
}
"""Option of a mining -> the algorithms whose scores it changes."""
ExportFormat = Literal[
    "", "ark:raw", "det-ark:raw", "voc:raw", "det-voc:raw", "coco:raw", "seg-coco:raw"
]
ANNOTATIONS = ("ark:raw", "voc:raw", "coco:raw", "seg-coco:raw")
"""Its words in messages: of two for one format the shorter."""
EXPORT_FORMS = {
    "onnx": "onnx",
    "int8": "int8 (with a validation set; left out if it surely loses over one point of AP)",
    "onnx-raw": "onnx-raw (of one-stage detectors)",
}
"""Form -> its name with the condition under which it is made."""
