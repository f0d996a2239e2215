"""The infer task: objects in every candidate image -> infer-result.json."""

import logging
from collections import Counter
from collections.abc import Callable
from itertools import tee

from pycocotools import mask as coco_mask

from app.engine.data.image import image_size
from app.engine.errors import ImageError
from app.engine.structures.boxes import Size
from app.engine.structures.detections import Detections
from app.tasks.candidates import Candidates
from app.tasks.trained_model import TrainedModel, open_model
from app.tasks.workers import limited_workers
from executor.dataset_reader import Asset
from executor.env import Env
from executor.hyperparameters import (
    INSTANCE_SEGMENTATION,
    InferHyperparameters,
    load_hyperparameters,
)
from executor.monitor import Progress, span
from executor.result_writer import infer_result
from executor.segmentation_result import Segment, segmentation_result

logger = logging.getLogger(__name__)

Write = Callable[[Asset, Detections | None], None]
"""Takes an image and what was found in it (None: unreadable)."""


def run(env: Env, progress: Progress) -> None:
    """Detect objects in every candidate; unreadable ones are listed without objects."""
    hp = load_hyperparameters(env.input.config_file, InferHyperparameters)
    masks = hp.object_type == INSTANCE_SEGMENTATION
    model = open_model(env, hp, score_threshold=hp.conf_threshold, boxes_only=not masks)
    progress(0.02)
    candidates = Candidates(env.input.candidate_index_file)
    found = span(progress, 0.02, 1.0)
    if masks:
        _infer_masks(env, hp, model, candidates, found)
    else:
        _infer_boxes(env, hp, model, candidates, found)


def _infer_boxes(
    env: Env,
    hp: InferHyperparameters,
    model: TrainedModel,
    candidates: Candidates,
    progress: Progress,
) -> None:
    boxes_key = env.dialect.boxes_key
    with infer_result(
        env.output.infer_result_file, model.class_names, boxes_key=boxes_key
    ) as result:

        def write(asset: Asset, detections: Detections | None) -> None:
            if detections is None:
                result.add(asset.image_text)
                return
            result.add(
                asset.image_text,
                boxes=detections.boxes.tolist(),
                classes=detections.classes.tolist(),
                scores=detections.scores.tolist(),
                size=detections.image_size,
            )

        _detect_all(hp, model, candidates, write, progress)


def _infer_masks(
    env: Env,
    hp: InferHyperparameters,
    model: TrainedModel,
    candidates: Candidates,
    progress: Progress,
) -> None:
    with segmentation_result(env.output.infer_result_file, model.class_names) as result:

        def write(asset: Asset, detections: Detections | None) -> None:
            if detections is None:
                result.add(asset.image_text, size=_size_of(asset))
            else:
                result.add(asset.image_text, segments(detections), size=detections.image_size)

        _detect_all(hp, model, candidates, write, progress)


def _detect_all(
    hp: InferHyperparameters,
    model: TrainedModel,
    candidates: Candidates,
    write: Write,
    progress: Progress,
) -> None:
    """Hand every candidate to `write`, in the index's order, as a stream."""
    paths, assets = tee(candidates)
    results = model.predictor.detect_files(
        (asset.image for asset in paths), num_workers=limited_workers(hp.num_workers)
    )
    counts: Counter[str] = Counter()
    for number, (asset, (_, found)) in enumerate(zip(assets, results, strict=True), start=1):
        if isinstance(found, ImageError):
            candidates.unreadable(asset, found)
            write(asset, None)
        else:
            counts.update(model.class_names[i] for i in found.classes.tolist())
            write(asset, found)
        progress(number / len(candidates))
    candidates.report()
    logger.info(
        "infer: %d images, %d objects with a score from %g (%s)",
        len(candidates),
        counts.total(),
        hp.conf_threshold,
        ", ".join(f"{name} {count}" for name, count in counts.most_common(20)) or "none",
    )


def _size_of(asset: Asset) -> Size:
    """What the header of an unreadable image says; (0, 0) where it says nothing either."""
    try:
        return image_size(asset.image)
    except ImageError:
        return 0, 0


def segments(detections: Detections) -> list[Segment]:
    """Detections with pasted masks -> one segment each."""
    assert detections.masks is not None
    masks = detections.masks.cpu().numpy().astype("uint8").transpose(1, 2, 0)
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
