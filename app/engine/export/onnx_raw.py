"""Exports `model.raw.onnx`: boxes and scores of all anchors, for runtimes without suppression.

The graph has no selection, no control flow and no index that depends on data. TensorRT, Core ML's
tools, OpenCV and Triton read such graphs. `_finish.finish` does the rest in numpy.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from app.engine.config.exportable import export_faults
from app.engine.config.traits import Form
from app.engine.data.images.depth import Depth
from app.engine.data.loading.image_reader import ImageReader, ResizedImage
from app.engine.data.transforms.resizing import resize_bytes
from app.engine.errors import ExportError, ImageError
from app.engine.export._finish import finish
from app.engine.export._graphs import raw_graph_of
from app.engine.export._job import ExportJob, time_passing
from app.engine.export._operators import OPSET
from app.engine.export._verify import MIN_MATCHED_GUESSES, Agreement, compare
from app.engine.export._write import raw_to_onnx, set_metadata
from app.engine.export.onnx import NUM_COMPARED, card_of, made_up
from app.engine.modeling.detector import Detector
from app.engine.predictor.array_detections import ArrayDetections
from app.engine.structures.size import Resizing, Size, padded_size
from common.files import write_atomically

logger = logging.getLogger(__name__)

TRAITS = Form(
    of_trainings=True, condition="of one-stage detectors", needs_graph=True, one_stage=True
)

FILE_NAME = "model.raw.onnx"

USAGE = (
    "images: (N, C, H, W) float32, 0 to 255, in the channel order image_format; resized, then "
    "padded at right and bottom with pad_values to input_size or, where that is null, to multiples "
    "of size_divisibility. boxes: (N, R, 4) x0 y0 x1 y1 of all anchors in pixels of images; "
    "scores: (N, R, classes). To do: drop scores that are not above a threshold, suppress boxes of "
    "a class by IoU nms_thresh, keep the best max_detections, scale boxes to the original and clip "
    "them."
)

_SURE = 0.3

_SECONDS = 20.0
"""Approximate duration of torch's export."""


def export(job: ExportJob) -> list[Path]:
    """Write DIRECTORY/model.raw.onnx if, finished in numpy, it finds what the engine finds."""
    for fault in export_faults(dict(job.cfg.leaves()), ["onnx-raw"]):
        raise ExportError(fault.text)
    _check_size(job.input_size, max(job.model.size_divisibility, 1))
    graph = raw_graph_of(job.model, job.input_size)
    card = card_of(job, graph)
    detector = graph.module.detector
    if job.input_size not in (None, graph.size):
        raise ExportError(f"input size {job.input_size}: this model takes {graph.size} alone")
    metadata = {
        **card.metadata(),
        "format": json.dumps("onnx-raw"),
        "pad_values": json.dumps(detector.pixel_mean.flatten().tolist()),
        "input_size": json.dumps(graph.size),
        "usage": USAGE,
    }
    with time_passing(job.progress, _SECONDS):
        model = raw_to_onnx(
            graph.module,
            graph.outputs,
            channels=detector.pixel_mean.numel(),
            size=graph.size,
            opset=job.opset or OPSET,
            metadata=metadata,
        )
        agreement = _compare(job, detector, model, metadata)
    if not agreement.is_enough:
        raise ExportError(
            f"{FILE_NAME}: only {agreement.matched:.1%} of {agreement.num_objects} objects agree "
            f"with the engine's on {agreement.num_images} images; the file is not kept"
        )
    logger.info("%s agrees with the engine: %s", FILE_NAME, agreement.figures())
    set_metadata(model, {**metadata, "agreement": json.dumps(agreement.figures())})
    path = job.directory / FILE_NAME
    write_atomically(path, model.SerializeToString())
    logger.info("Saved %s", path)
    return [path]


def _check_size(size: Size | None, step: int) -> None:
    """ExportError if a network cannot have inputs of this size."""
    if size is not None and any(side % step for side in size):
        raise ExportError(
            f"input size {size}: sides are multiples of {step} for this model; choose "
            f"{padded_size([size], step)}"
        )


def _compare(
    job: ExportJob, detector: Detector, model: onnx.ModelProto, about: dict[str, str]
) -> Agreement:
    """Compare sure objects on photographs, or all that reach the model's own threshold.

    Of those the engine drops some before the suppression, and `finish` does not.
    """
    lowest = float(json.loads(about["score_thresh"]))
    threshold = max(lowest, _SURE)
    predictor = _RawPredictor(model, about, threshold)
    images = _images(job, about)
    agreement = compare(detector, predictor, images, score_threshold=threshold)
    if agreement.num_objects:
        return agreement
    predictor.threshold = lowest
    enough = MIN_MATCHED_GUESSES
    return compare(detector, predictor, images, score_threshold=lowest, min_matched=enough)


class _RawPredictor:
    """Runs a raw file and finishes its work in numpy."""

    def __init__(self, model: onnx.ModelProto, about: dict[str, str], threshold: float) -> None:
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        self._about = about
        self.threshold = threshold

    def detect_batch(self, images: Sequence[ResizedImage]) -> list[ArrayDetections]:
        """Return the detections of images, computed one by one."""
        return [self._detect(image) for image in images]

    def _detect(self, image: ResizedImage) -> ArrayDetections:
        boxes, scores = self._session.run(None, {"images": self._input(image)})
        found = finish(
            boxes[0], scores[0], image.size, image.original_size, self._about, self.threshold
        )
        return ArrayDetections(image.original_size, *found)

    def _input(self, image: ResizedImage) -> npt.NDArray[np.float32]:
        """Return the padded input: (1, C, H, W)."""
        about = {key: json.loads(text) for key, text in self._about.items() if key != "usage"}
        size = about["input_size"] or padded_size([image.size], about["size_divisibility"])
        padded = np.empty((*size, image.pixels.shape[2]), np.float32)
        padded[:] = about["pad_values"]
        padded[: image.size[0], : image.size[1]] = image.pixels
        return np.ascontiguousarray(padded.transpose(2, 0, 1)[None])


def _images(job: ExportJob, about: dict[str, str]) -> list[ResizedImage]:
    """Return whole photographs in a size that the file takes; a made-up one if there are none."""
    cfg = job.cfg
    reader = ImageReader(str(cfg.INPUT.FORMAT), Resizing(0, 0), Depth.from_config(cfg))
    pictures = []
    for path in job.images[:NUM_COMPARED]:
        try:
            pictures.append(reader(path).pixels)
        except ImageError as error:
            logger.warning("%s", error)
    if not pictures:
        pictures = [made_up(len(json.loads(about["pad_values"])))]
    resizing = Resizing.from_config(cfg)
    if about["input_size"] != "null":  # stretched: the engine would pad less than the file's user
        resizing = replace(resizing, fixed=tuple(json.loads(about["input_size"])))
    images = []
    for pixels in pictures:
        size = pixels.shape[0], pixels.shape[1]
        images.append(ResizedImage(resize_bytes(pixels, resizing(size)), size))
    return images
