"""Exports `model.safetensors`: weights with detectron2's names in a file that cannot run code."""

import logging
from pathlib import Path

from safetensors.torch import save

from app.engine.config.traits import Form
from app.engine.export._job import ExportJob
from common.files import write_atomically

logger = logging.getLogger(__name__)

TRAITS = Form()

FILE_NAME = "model.safetensors"


def export(job: ExportJob) -> list[Path]:
    """Write DIRECTORY/model.safetensors, with the class names in its header, one a line."""
    path = job.directory / FILE_NAME
    tensors = {name: t.detach().contiguous() for name, t in job.model.state_dict().items()}
    write_atomically(path, save(tensors, metadata={"class_names": "\n".join(job.class_names)}))
    logger.info("Saved %s", path)
    return [path]
