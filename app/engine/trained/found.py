"""What a model found in one picture.

N: objects; H, W: height and width of the picture; K: keypoints of an object
"""

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.engine.drawing import LabelMap, Marks, class_color, draw
from app.engine.drawing.draw import MIN_SIDE
from app.engine.drawing.marks import Edges
from app.engine.errors import EngineError
from app.engine.structures.run_lengths import encode_bitmaps
from app.engine.structures.size import Size
from common.files import write_atomically

if TYPE_CHECKING:
    import os

Array = npt.NDArray[Any]

PICTURE_SUFFIXES = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
"""File name suffixes of drawn pictures, and Pillow's names of these formats."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names of what a model finds.

    classes       name of each class
    category_ids  COCO's id of each class
    edges         pairs of keypoints that a line joins in pictures
    stuff         name of each value of a label map
    """

    classes: Sequence[str]
    category_ids: Sequence[int]
    edges: Edges = ()
    stuff: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class FoundObject:
    """One object: box (x0, y0, x1, y1) in pixels, score, class, mask (H, W), keypoints (K, 3)."""

    box: tuple[float, float, float, float]
    score: float
    class_id: int
    class_name: str
    mask: Array | None = None
    keypoints: Array | None = None


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Found:
    """The objects in one picture, the best first; `len` counts them, iteration yields each.

    image_size   (height, width) of the picture as shown, to whose pixels coordinates refer
    boxes        (N, 4) float32: x0, y0, x1, y1; the width is x1 - x0
    scores       (N,) float32 in 0..1
    classes      (N,) int64: positions in the model's `class_names`
    class_names  N names
    masks        (N, H, W) bool; None if the model finds none
    keypoints    (N, K, 3) float32: x, y, score; None if the model finds none
    semantic     (H, W) int64: the class of each pixel; None if the model finds none
    panoptic     (H, W) int32 segments, and a dict for each segment; None if the model finds none
    """

    image_size: Size
    boxes: Array
    scores: Array
    classes: Array
    masks: Array | None
    keypoints: Array | None
    semantic: Array | None
    panoptic: tuple[Array, list[dict[str, Any]]] | None
    vocabulary: Vocabulary = field()
    _open: Callable[[], Image.Image] = field()

    @classmethod
    def of(
        cls,
        raw: Any,
        *,
        threshold: float,
        vocabulary: Vocabulary,
        picture: Callable[[], Image.Image],
    ) -> "Found":
        """Return the objects of a predictor's detections whose score is at least `threshold`.

        picture  returns the picture when it is to be drawn on
        """
        scores = np.asarray(raw.scores)
        kept = scores >= threshold

        def rows(name: str) -> Array | None:
            values = getattr(raw, name, None)
            return None if values is None else np.asarray(values)[kept]

        semantic, panoptic = getattr(raw, "semantic", None), getattr(raw, "panoptic", None)
        return cls(
            raw.image_size,
            np.asarray(raw.boxes)[kept],
            scores[kept],
            np.asarray(raw.classes)[kept],
            rows("masks"),
            rows("keypoints"),
            None if semantic is None else np.asarray(semantic).argmax(axis=0),
            None if panoptic is None else (np.asarray(panoptic[0]), panoptic[1]),
            vocabulary,
            picture,
        )

    @property
    def class_names(self) -> list[str]:
        """The name of each object's class."""
        return [self.vocabulary.classes[index] for index in self.classes]

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[FoundObject]:
        for row, (box, score, index) in enumerate(
            zip(self.boxes.tolist(), self.scores.tolist(), self.classes.tolist(), strict=True)
        ):
            yield FoundObject(
                (box[0], box[1], box[2], box[3]),
                score,
                index,
                self.vocabulary.classes[index],
                None if self.masks is None else self.masks[row],
                None if self.keypoints is None else self.keypoints[row],
            )

    def __repr__(self) -> str:
        counts = Counter(self.class_names).most_common()
        told = ", ".join(f"{count} {name}" for name, count in counts) or "no objects"
        return f"Found({told}; {self.image_size[1]} x {self.image_size[0]} pixels)"

    def draw(
        self, path: "str | os.PathLike[str] | None" = None, *, min_side: int = MIN_SIDE
    ) -> Image.Image:
        """Return the picture with the objects drawn on it, and write it to `path` if one is given.

        min_side  enlarge the picture until its short side has so many pixels; 0: as it is

        Raises ImageError if the picture was a file that is gone, EngineError for another kind of
        `path` than .jpg, .png and .webp.
        """
        kind = None if path is None else _kind(Path(path))
        marks = Marks.of(self, edges=self.vocabulary.edges)
        if self.panoptic is not None:
            marks = Marks.of(self, at_least=np.inf)  # its segments are the objects
        drawn = draw(
            self._open(),
            marks,
            self.vocabulary.classes,
            label_map=self._label_map(),
            min_side=min_side,
        )
        if path is not None:
            content = io.BytesIO()
            drawn.save(content, format=kind, quality=90)
            write_atomically(Path(path), content.getvalue())
        return drawn

    def _label_map(self) -> LabelMap | None:
        """Return the segments, else the classes of pixels, if the model finds them."""
        first = len(self.vocabulary.classes)
        if self.panoptic is not None:
            labels, segments = self.panoptic
            things = {each["id"]: bool(each["isthing"]) for each in segments}
            index = {each["id"]: int(each["category_id"]) for each in segments}
            names, colors = {}, {}
            for value, is_thing in things.items():
                known = self.vocabulary.classes if is_thing else self.vocabulary.stuff
                names[value] = known[index[value]]
                colors[value] = class_color(index[value] + (0 if is_thing else first))
            return LabelMap(labels, names, colors)
        if self.semantic is not None:
            values = np.unique(self.semantic).tolist()
            stuff = self.vocabulary.stuff
            names = {v: stuff[v] if v < len(stuff) else f"class {v}" for v in values}
            return LabelMap(self.semantic, names, {v: class_color(first + v) for v in values})
        return None

    def to_coco(self, image_id: int | str) -> list[dict[str, Any]]:
        """Return the objects as COCO's results: a dict for each, in numbers that JSON can hold.

        Category ids are those of the model's training data, or count from 1 if it has none.
        """
        codes = None if self.masks is None else encode_bitmaps(self.masks)
        results = []
        for row, each in enumerate(self):
            x0, y0, x1, y1 = each.box
            result: dict[str, Any] = {
                "image_id": image_id,
                "category_id": int(self.vocabulary.category_ids[each.class_id]),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "score": each.score,
            }
            if codes is not None:
                result["segmentation"] = codes[row]
            if each.keypoints is not None:
                # COCO's keypoints are pixel indices; the engine's are continuous, larger by 0.5.
                points = each.keypoints.astype(float) - [0.5, 0.5, 0.0]
                result["keypoints"] = points.ravel().tolist()
            results.append(result)
        return results

    def to_supervision(self) -> Any:
        """Return `supervision.Detections`; EngineError if that package is not installed."""
        try:
            import supervision
        except ImportError as error:
            raise EngineError(
                "to_supervision needs the package supervision; install it with `pip install"
                " supervision`"
            ) from error
        return supervision.Detections(
            xyxy=self.boxes,
            mask=self.masks,
            confidence=self.scores,
            class_id=self.classes,
            data={"class_name": np.array(self.class_names, dtype=np.str_)},
        )


def _kind(path: Path) -> str:
    kind = PICTURE_SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise EngineError(
            f"{path}: no name of a picture; let it end in {', '.join(PICTURE_SUFFIXES)}"
        )
    return kind
