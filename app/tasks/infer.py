"""The infer task: objects in every candidate image -> infer-result.json."""

import logging
from collections import Counter
from collections.abc import Callable
from itertools import tee

from pycocotools import mask as coco_mask

from app.engine.errors import ImageError
from app.engine.structures.detections import Detections
from app.tasks.candidates import Candidates
from app.tasks.trained_model import TrainedModel, open_model
from executor.env import Env
from executor.errors import ObjectTypeError
from executor.hyperparameters import InferHyperparameters, load_hyperparameters
from executor.monitor import Progress, span
from executor.result_writer import infer_result
from executor.segmentation_result import Segment, segmentation_result

logger = logging.getLogger(__name__)

INSTANCE_SEGMENTATION = 4
Write = Callable[[str, Detections | None], None]
"""Takes an image, named as the index names it, and what was found in it (None: unreadable)."""


def run(env: Env, progress: Progress) -> None:
    """Detect objects in every candidate; unreadable ones are listed without objects."""
    hp = load_hyperparameters(env.input.config_file, InferHyperparameters)
    model = open_model(env, hp, score_threshold=hp.conf_threshold)
    progress(0.02)
    candidates = Candidates(env.input.candidate_index_file)
    found = span(progress, 0.02, 1.0)
    if hp.object_type == INSTANCE_SEGMENTATION:
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

        def write(image_text: str, detections: Detections | None) -> None:
            if detections is None:
                result.add(image_text)
                return
            result.add(
                image_text,
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
    if not model.cfg.MODEL.MASK_ON:
        raise ObjectTypeError(
            "object_type 4 asks for instance segmentation but the model finds boxes only; choose "
            "a Mask R-CNN model, or object_type 2"
        )
    with segmentation_result(env.output.infer_result_file, model.class_names) as result:

        def write(image_text: str, detections: Detections | None) -> None:
            if detections is None:
                result.add(image_text, size=(0, 0))
            else:
                result.add(image_text, segments(detections), size=detections.image_size)

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
        (asset.image for asset in paths), num_workers=hp.num_workers
    )
    counts: Counter[str] = Counter()
    for number, (asset, (_, found)) in enumerate(zip(assets, results, strict=True), start=1):
        if isinstance(found, ImageError):
            candidates.unreadable(asset, found)
            write(asset.image_text, None)
        else:
            counts.update(model.class_names[i] for i in found.classes.tolist())
            write(asset.image_text, found)
        progress(number / len(candidates))
    candidates.report()
    logger.info(
        "infer: %d images, %d objects with a score from %g (%s)",
        len(candidates),
        counts.total(),
        hp.conf_threshold,
        ", ".join(f"{name} {count}" for name, count in counts.most_common(20)) or "none",
    )


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
