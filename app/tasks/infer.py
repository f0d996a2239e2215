"""The infer task: objects in every candidate image -> infer-result.json."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pycocotools import mask as coco_mask

from app.engine.data.images.headers import image_size
from app.engine.errors import ImageError, StorageError
from app.engine.predictor.array_detections import ArrayDetections
from app.engine.structures.size import Size
from app.tasks.candidates import Candidates
from app.tasks.devices import device_ids, device_names
from app.tasks.finder import DeviceFinder, Find, open_finder
from app.tasks.journals import open_journal
from app.tasks.trained_model import open_model
from app.tasks.workers import limited_workers
from executor.dataset_reader import Asset
from executor.env import Env, Task
from executor.hyperparameters import (
    INSTANCE_SEGMENTATION,
    InferHyperparameters,
    load_hyperparameters,
)
from executor.monitor import Progress, span
from executor.result_writer import InferEntries, write_infer_result
from executor.segmentation_result import Segment, segmentation_entry, write_segmentation_result

logger = logging.getLogger(__name__)

T = TypeVar("T")


def run(env: Env, progress: Progress) -> None:
    """Detect objects in every candidate; unreadable ones are listed without objects."""
    hp = load_hyperparameters(env.input.config_file, InferHyperparameters)
    masks = hp.object_type == INSTANCE_SEGMENTATION
    candidates = Candidates(env.input.candidate_index_file)
    devices = device_names(device_ids(hp))
    num_workers = limited_workers(hp.num_workers, processes=len(devices))
    with (
        open_journal(env, Task.INFER, hp, uses_model=True) as take_up_journal,
        open_finder(partial(_open, env, hp, len(candidates), num_workers), devices) as finder,
    ):
        journal = take_up_journal()
        progress(0.02)
        counts: Counter[int] = Counter()
        num_earlier = journal.num_done
        entries = InferEntries(finder.class_names, boxes_key=env.dialect.boxes_key)
        candidates.work_through(
            journal,
            finder,
            partial(_masks_entry if masks else partial(_boxes_entry, entries), counts),
            progress=span(progress, 0.02, 0.98),
        )
        path = env.output.infer_result_file
        if masks:
            write_segmentation_result(path, candidates, journal, finder.class_names)
        else:
            write_infer_result(path, candidates, journal)
    if entries.num_dropped:
        logger.warning("%d detections were not finite or outside", entries.num_dropped)
    names = Counter({finder.class_names[index]: count for index, count in counts.items()})
    logger.info(
        "infer: %d images (%d unreadable, %d to be looked at again), %d objects with a score "
        "from %g (%s) in the %d of this run",
        len(candidates),
        journal.num_done - journal.num_results,
        journal.num_open,
        names.total(),
        hp.conf_threshold,
        ", ".join(f"{name} {count}" for name, count in names.most_common(20)) or "none",
        len(candidates) - num_earlier,
    )
    progress(1.0)


def _open(
    env: Env, hp: InferHyperparameters, num_images: int, num_workers: int, device: str
) -> DeviceFinder[Any]:
    """What finds `ArrayDetections`, or `SegmentedImage`s where masks are asked for."""
    masks = hp.object_type == INSTANCE_SEGMENTATION
    model = open_model(
        env,
        hp,
        device=device,
        score_threshold=hp.conf_threshold,
        boxes_only=not masks,
        num_images=num_images,
    )
    detect = partial(model.predictor.detect_files, num_workers=num_workers)
    find = partial(_map_found, _segmented if masks else _arrays, detect)
    return DeviceFinder(find, model.predictor.group_size, model.class_names)


def _map_found(
    change: Callable[[Any], T], find: Find[Any], paths: Iterable[Path]
) -> Iterator[tuple[Path, T | ImageError]]:
    for path, found in find(paths):
        yield path, found if isinstance(found, ImageError) else change(found)


def _arrays(found: Any) -> ArrayDetections:
    """What may go from process to process as it is."""
    boxes, scores, classes = map(np.asarray, (found.boxes, found.scores, found.classes))
    return ArrayDetections(found.image_size, boxes, scores, classes)


def _boxes_entry(
    entries: InferEntries,
    counts: Counter[int],
    _asset: Asset,
    detections: ArrayDetections | ImageError,
) -> str:
    if isinstance(detections, ImageError):
        return entries.entry()
    classes = detections.classes.tolist()
    counts.update(classes)
    return entries.entry(
        boxes=detections.boxes.tolist(),
        classes=classes,
        scores=detections.scores.tolist(),
        size=detections.image_size,
    )


@dataclass(frozen=True, slots=True)
class SegmentedImage:
    """Objects with masks as the result tells them: a hundredth of the masks' pixels."""

    segments: list[Segment]
    size: Size


def _segmented(found: Any) -> SegmentedImage:
    return SegmentedImage(segments(found), found.image_size)


def _masks_entry(counts: Counter[int], asset: Asset, image: SegmentedImage | ImageError) -> str:
    if isinstance(image, StorageError):
        return segmentation_entry(size=(0, 0))  # another look might wait for a dead server again
    if isinstance(image, ImageError):
        return segmentation_entry(size=_size_of(asset))
    counts.update(segment.class_index for segment in image.segments)
    return segmentation_entry(image.segments, size=image.size)


def _size_of(asset: Asset) -> Size:
    """What the header of an unreadable image says; (0, 0) where it says nothing either."""
    try:
        return image_size(asset.image)
    except ImageError:
        return 0, 0


def segments(detections: ArrayDetections) -> list[Segment]:
    """Detections with pasted masks -> one segment each."""
    assert detections.masks is not None
    masks = np.asarray(detections.masks).astype(np.uint8).transpose(1, 2, 0)
    codes = coco_mask.encode(masks.copy(order="F"))
    areas = coco_mask.area(codes)
    return [
        Segment(
            (box[0], box[1], box[2], box[3]),
            class_index,
            score,
            code["counts"].decode(),
            float(area),
        )
        for box, class_index, score, code, area in zip(
            detections.boxes.tolist(),
            detections.classes.tolist(),
            detections.scores.tolist(),
            codes,
            areas,
            strict=True,
        )
    ]
