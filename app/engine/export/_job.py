"""What there is to export."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.engine.config import CfgNode
from app.engine.modeling.detector import Detector
from app.engine.structures.sample import ImageRecord


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """A trained model and the pictures to judge its exports by.

    model        in eval mode, on the CPU
    directory    where the files go
    weights      the file that the model's weights come from, or None
    images       photographs: compared with the engine on the first, calibrated on all (int8)
    validation   labelled images, for the loss of AP (int8)
    num_workers  processes that read images
    """

    model: Detector
    cfg: CfgNode
    class_names: Sequence[str]
    directory: Path
    weights: Path | None = None
    images: Sequence[Path] = ()
    validation: Sequence[ImageRecord] = ()
    num_workers: int = 0


def spread(paths: Sequence[Path], number: int) -> list[Path]:
    """At most `number` of the paths, evenly from first to last."""
    if len(paths) <= number:
        return list(paths)
    return [paths[index * len(paths) // number] for index in range(number)]


Exporter = Callable[[ExportJob], list[Path]]
"""Writes a model for another program: the files written. ExportError where that cannot be."""
