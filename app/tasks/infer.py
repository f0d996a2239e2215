"""The infer task: objects in every candidate image -> infer-result.json."""

import logging
from collections import Counter
from functools import partial

import numpy as np
from pycocotools import mask as coco_mask

from app.engine.data.image import image_size
from app.engine.errors import ImageError
from app.engine.predictor.array_detections import ArrayDetections
from app.engine.structures.size import Size
from app.tasks.candidates import Candidates
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


def run(env: Env, progress: Progress) -> None:
    """Detect objects in every candidate; unreadable ones are listed without objects."""
    hp = load_hyperparameters(env.input.config_file, InferHyperparameters)
    masks = hp.object_type == INSTANCE_SEGMENTATION
    candidates = Candidates(env.input.candidate_index_file)
    model = open_model(
        env,
        hp,
        score_threshold=hp.conf_threshold,
        boxes_only=not masks,
        num_images=len(candidates),
    )
    progress(0.02)
    with open_journal(env, Task.INFER, hp, uses_model=True) as journal:
        counts: Counter[int] = Counter()
        num_earlier = journal.num_done
        entries = InferEntries(model.class_names, boxes_key=env.dialect.boxes_key)
        candidates.work_through(
            journal,
            partial(model.predictor.detect_files, num_workers=limited_workers(hp.num_workers)),
            partial(_masks_entry if masks else partial(_boxes_entry, entries), counts),
            group_size=model.predictor.group_size,
            progress=span(progress, 0.02, 0.98),
        )
        path = env.output.infer_result_file
        if masks:
            write_segmentation_result(path, candidates, journal, model.class_names)
        else:
            write_infer_result(path, candidates, journal)
    if entries.num_dropped:
        logger.warning("%d detections were not finite or outside", entries.num_dropped)
    names = Counter({model.class_names[index]: count for index, count in counts.items()})
    logger.info(
        "infer: %d images, %d objects with a score from %g (%s) in the %d of this run",
        len(candidates),
        names.total(),
        hp.conf_threshold,
        ", ".join(f"{name} {count}" for name, count in names.most_common(20)) or "none",
        len(candidates) - num_earlier,
    )
    progress(1.0)


def _boxes_entry(
    entries: InferEntries, counts: Counter[int], _asset: Asset, detections: ArrayDetections | None
) -> str:
    if detections is None:
        return entries.entry()
    classes = detections.classes.tolist()
    counts.update(classes)
    return entries.entry(
        boxes=detections.boxes.tolist(),
        classes=classes,
        scores=detections.scores.tolist(),
        size=detections.image_size,
    )


def _masks_entry(counts: Counter[int], asset: Asset, detections: ArrayDetections | None) -> str:
    if detections is None:
        return segmentation_entry(size=_size_of(asset))
    counts.update(detections.classes.tolist())
    return segmentation_entry(segments(detections), size=detections.image_size)


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
