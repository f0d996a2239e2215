"""The entries and result files of infer: boxes, or segments with masks."""

import json
import logging
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from pycocotools import mask as coco_mask

from app.engine.data.images.headers import image_size
from app.engine.drawing import Marks
from app.engine.errors import ImageError, StorageError
from app.engine.predictor.array_detections import ArrayDetections
from app.engine.structures.size import Size
from app.tasks.candidate_task import Result
from app.tasks.pictures import FOLDER, draw_first
from executor.candidates import Candidates
from executor.dataset_reader import Asset
from executor.env import Env
from executor.hyperparameters import InferHyperparameters
from executor.journal import Journal
from executor.result_writer import InferEntries, write_infer_result
from executor.segmentation_result import Segment, segmentation_entry, write_segmentation_result
from executor.task_words import Task

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """The items at these positions, in their order; can be iterated several times."""

    at: Callable[[Iterable[int]], Iterator[T]]
    positions: Sequence[int]

    def __iter__(self) -> Iterator[T]:
        return self.at(self.positions)


class InferResult(Result[T]):
    """The objects of each image, in the order of the index."""

    def __init__(self, env: Env, hp: InferHyperparameters, class_names: Sequence[str]) -> None:
        self._path = env.output.result_file(Task.INFER)
        self._threshold = hp.conf_threshold
        self._class_names = class_names
        self._counts: Counter[int] = Counter()
        self._num_pictures = hp.draw
        self._pictures = env.output.root_dir / FOLDER

    @staticmethod
    @abstractmethod
    def portable(found: Any) -> T:
        """Return detections of a predictor in a form that can be sent between processes."""

    @abstractmethod
    def _marks(self, entry: str) -> Marks:
        """Return what is drawn of an entry."""

    def _draw(self, candidates: Candidates, journal: Journal, listed: Sequence[int]) -> None:
        """Draw the first images of the index, as many as asked for; earlier pictures go."""
        first = listed[: self._num_pictures]
        if len(first) or self._pictures.is_dir():
            entries = journal.at(first)
            draw_first(
                self._pictures, candidates.at(first), entries, self._marks, self._class_names
            )

    def _tell(self, journal: Journal) -> None:
        names = Counter({self._class_names[index]: n for index, n in self._counts.items()})
        logger.info(
            "infer: %d images (%d unreadable, %d to be looked at again), %d objects with a score "
            "from %g (%s) in the %d of this run",
            len(journal),
            journal.num_done - journal.num_results,
            journal.num_open,
            names.total(),
            self._threshold,
            ", ".join(f"{name} {count}" for name, count in names.most_common(20)) or "none",
            len(journal) - journal.num_earlier,
        )


class BoxesResult(InferResult[ArrayDetections]):
    """A result whose entries are the JSON of an image's boxes."""

    def __init__(self, env: Env, hp: InferHyperparameters, class_names: Sequence[str]) -> None:
        super().__init__(env, hp, class_names)
        self._boxes_key = env.dialect.boxes_key
        self._entries = InferEntries(class_names, boxes_key=self._boxes_key)

    @staticmethod
    def portable(found: Any) -> ArrayDetections:
        """See `InferResult`."""
        boxes, scores, classes = map(np.asarray, (found.boxes, found.scores, found.classes))
        return ArrayDetections(found.image_size, boxes, scores, classes)

    def entry(self, _asset: Asset, found: ArrayDetections | ImageError) -> str:
        """See `Result`."""
        if isinstance(found, ImageError):
            return self._entries.entry()
        classes = found.classes.tolist()
        self._counts.update(classes)
        return self._entries.entry(
            boxes=found.boxes.tolist(),
            classes=classes,
            scores=found.scores.tolist(),
            size=found.image_size,
        )

    def publish(self, candidates: Candidates, journal: Journal) -> None:
        """See `Result`."""
        listed = candidates.as_listed()
        write_infer_result(self._path, Listed(candidates.at, listed), Listed(journal.at, listed))
        if self._entries.num_dropped:
            logger.warning("%d detections were not finite or outside", self._entries.num_dropped)
        self._tell(journal)
        self._draw(candidates, journal, listed)

    def _marks(self, entry: str) -> Marks:
        items = json.loads(entry)[self._boxes_key]
        boxes_xywh = [[item["box"][side] for side in "xywh"] for item in items]
        classes = [self._class_names.index(item["class_name"]) for item in items]
        return _marks_of(boxes_xywh, classes, [item["score"] for item in items])


@dataclass(frozen=True, slots=True)
class SegmentedImage:
    """Objects with masks as run lengths, a hundredth of the size of the masks' pixels."""

    segments: list[Segment]
    size: Size


class MasksResult(InferResult[SegmentedImage]):
    """A result whose entries are an image's size and its segments."""

    @staticmethod
    def portable(found: Any) -> SegmentedImage:
        """See `InferResult`."""
        return SegmentedImage(segments(found), found.image_size)

    def entry(self, asset: Asset, found: SegmentedImage | ImageError) -> str:
        """See `Result`."""
        if isinstance(found, StorageError):
            return segmentation_entry(size=(0, 0))  # reading it again might block on a dead server
        if isinstance(found, ImageError):
            return segmentation_entry(size=_size_of(asset))
        self._counts.update(segment.class_index for segment in found.segments)
        return segmentation_entry(found.segments, size=found.size)

    def publish(self, candidates: Candidates, journal: Journal) -> None:
        """See `Result`."""
        listed = candidates.as_listed()
        images, entries = Listed(candidates.at, listed), Listed(journal.at, listed)
        write_segmentation_result(self._path, images, entries, self._class_names)
        self._tell(journal)
        self._draw(candidates, journal, listed)

    def _marks(self, entry: str) -> Marks:
        items = [json.loads(text) for text in entry.split("\t")[1:]]
        marks = _marks_of(
            [item["bbox"] for item in items],
            [item["category_id"] for item in items],
            [item["confidence"] for item in items],
        )
        if not items:
            return marks
        codes = [item["segmentation"] for item in items]
        return replace(marks, masks=coco_mask.decode(codes).transpose(2, 0, 1).astype(np.bool_))


def _marks_of(
    boxes_xywh: Sequence[Sequence[float]], classes: Sequence[int], scores: Sequence[float]
) -> Marks:
    boxes = np.array(boxes_xywh, dtype=np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Marks(boxes, np.array(classes, dtype=np.int64), np.array(scores, dtype=np.float32))


def _size_of(asset: Asset) -> Size:
    """Return the size in the header of an unreadable image; (0, 0) if that fails too."""
    try:
        return image_size(asset.image)
    except ImageError:
        return 0, 0


def segments(detections: ArrayDetections) -> list[Segment]:
    """Turn detections with pasted masks into one segment each."""
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
