"""Steps that several architectures share."""

from collections.abc import Sequence

import torch

from app.engine.modeling.postprocess import to_original
from app.engine.structures.detections import Detections, to_cpu
from app.engine.structures.sample import Sample
from app.engine.structures.targets import GroundTruth


def ground_truths(samples: Sequence[Sample], device: torch.device) -> list[GroundTruth]:
    """Return the ground truth of the batch on `device`."""
    assert all(sample.ground_truth is not None for sample in samples)
    return [s.ground_truth.to(device) for s in samples if s.ground_truth is not None]


def originals(detections: Sequence[Detections], samples: Sequence[Sample]) -> list[Detections]:
    """Convert detections from the network's input to the original images; paste masks.

    Without masks this runs on the CPU: for few boxes GPU kernel launches would take longer.
    """
    if all(found.masks is None for found in detections):
        detections = to_cpu(detections)
    return [
        to_original(found, sample.size, sample.original_size)
        for found, sample in zip(detections, samples, strict=True)
    ]
