"""A trained model for Python programs: `load_model` opens it, `Model.detect` uses it."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

from PIL import Image

from app.engine.config import CfgNode, load_model_config
from app.engine.data.images.reading import pixels_of, read_picture
from app.engine.data.transforms.keypoints import COCO_PERSON
from app.engine.drawing.keypoints import PERSON_EDGES
from app.engine.errors import CheckpointError, ConfigError, EngineError, ImageError
from app.engine.predictor.deep_tally import DeepTally
from app.engine.predictor.onnx_card import FILE_NAMES
from app.engine.trained.devices import best_device, may_have_gpu
from app.engine.trained.found import Found, Vocabulary
from app.engine.trained.model_files import WEIGHTS_SUFFIXES
from app.engine.trained.opening import FindsObjects, ModelPlace, OpenedModel, Opening, open_model
from app.engine.trained.output_names import model_names
from app.engine.trained.pictures import Channels, Source, picture_of

_BATCH_SIZE = {"cpu": 1, "cuda": 8}
"""Pictures at once where the caller does not say."""


def load_model(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    precision: str = "auto",
    image_size: int = 0,
    batch_size: int = 0,
    lowest_score: float | None = None,
    tile_size: int = 0,
    tile_overlap: int = 0,
) -> "Model":
    """Open a trained model.

    path          a folder of models (result.yaml names the best stage), the folder of one stage, a
                  file with weights that has its config.yaml beside it, or an exported .onnx file
    device        cpu, cuda, cuda:1, ...; auto: the first GPU, else the CPU
    precision     fp32, bf16, fp16, or int8 (an exported model.int8.onnx); auto: bf16 on GPUs that
                  have it, else fp32
    image_size    shorter side in pixels to which pictures are resized; 0: as in the training
    batch_size    pictures of a list that are computed at once; 0: 1 on the CPU, 8 on a GPU
    lowest_score  objects with a lower score are never found; None: as the model's config says,
                  usually 0.05
    tile_size     side in pixels of the tiles into which larger pictures are cut; 0: as in the
                  training
    tile_overlap  pixels that neighbouring tiles share at least; 0: as in the training, or a quarter
                  of `tile_size`

    Raises CheckpointError if there is no model that can be used, ConfigError for a wrong option.
    """
    device = _checked_device(device)
    numbers = {
        "image_size": image_size,
        "batch_size": batch_size,
        "tile_size": tile_size,
        "tile_overlap": tile_overlap,
    }
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 0:
            raise ConfigError(f"{name} is {value!r}; give a whole number, 0 for the model's own")
    batch_size = batch_size or _BATCH_SIZE[device.partition(":")[0]]
    place = _place(Path(path), precision)
    opening = Opening(
        device=device,
        num_images=batch_size,
        batch_size=batch_size,
        score_threshold=lowest_score,
        image_size=image_size,
        tile_size=tile_size,
        tile_overlap=tile_overlap,
        precision=precision,
        backend="onnxruntime" if place.exported is not None else "auto",
    )
    return Model(open_model(place, opening), place)


def _checked_device(device: str) -> str:
    """Return cpu or cuda:N; ConfigError if there is no such device."""
    if device == "auto":
        return best_device()
    kind, _, number = device.partition(":")
    if device == "cpu":
        return device
    if kind != "cuda" or not (number or "0").isdecimal():
        raise ConfigError(f"device is {device!r}; give auto, cpu, cuda or cuda:0")
    count = 0
    if may_have_gpu():
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        raise ConfigError(
            f"device is {device!r}, but {count or 'no'} GPU can be used here; give cpu"
        )
    return f"cuda:{int(number or 0)}"


def _place(path: Path, precision: str) -> ModelPlace:
    """Return where the model lies that a user names; CheckpointError if nothing is there."""
    if not path.exists():
        raise CheckpointError(f"{path}: there is no such file or folder; give a trained model")
    if path.is_dir():
        place = ModelPlace(path)
        try:
            place.files()
        except CheckpointError:  # a folder with nothing but an exported file is a model, too
            file = place.exported_file(FILE_NAMES["int8" if precision == "int8" else "fp32"])
            if file is None:
                raise
            return ModelPlace(path, exported=file)
        return place
    if path.suffix == ".onnx":
        return ModelPlace(path.parent, exported=path)
    if path.name.endswith(WEIGHTS_SUFFIXES):
        return ModelPlace(path.parent, (path,))
    raise CheckpointError(
        f"{path}: no file of weights ({', '.join(WEIGHTS_SUFFIXES)}) and no .onnx file; give one,"
        " or the folder of a trained model"
    )


class Model:
    """A trained model; make it with `load_model`.

    class_names  names of the classes, by their number
    """

    def __init__(self, opened: OpenedModel, place: ModelPlace) -> None:
        self._predictor: FindsObjects = opened.predictor
        self._vocabulary = _vocabulary(opened, place)
        self._deep = DeepTally()
        self.class_names = list(opened.class_names)

    def __repr__(self) -> str:
        return f"Model({len(self.class_names)} classes: {', '.join(self.class_names[:20])})"

    @overload
    def detect(
        self, pictures: Source, *, threshold: float = 0.3, channels: Channels = "RGB"
    ) -> Found: ...

    @overload
    def detect(
        self,
        pictures: list[Any] | tuple[Any, ...],
        *,
        threshold: float = 0.3,
        channels: Channels = "RGB",
    ) -> list[Found]: ...

    def detect(
        self, pictures: Any, *, threshold: float = 0.3, channels: Channels = "RGB"
    ) -> Found | list[Found]:
        """Return the objects in a picture, or a list with those of each of several pictures.

        pictures   one or a list of: a path, the bytes of an image file, a Pillow image, an array
                   (height, width, channels), a torch tensor (channels, height, width); arrays and
                   tensors are uint8 with 1, 3 or 4 channels, transparency is left out
        threshold  lowest score of the objects
        channels   RGB or BGR: the order in arrays and tensors; OpenCV reads BGR

        Raises ImageError if a picture cannot be read or used.
        """
        _check_threshold(threshold)
        if not isinstance(pictures, list | tuple):
            return self._detect([pictures], threshold, channels)[0]
        size = self._predictor.group_size  # so many are in memory at once
        starts = range(0, len(pictures), size)
        groups = (pictures[start : start + size] for start in starts)
        return [found for group in groups for found in self._detect(group, threshold, channels)]

    def detect_files(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        threshold: float = 0.3,
        num_workers: int = 0,
    ) -> Iterator[tuple[Path, Found | ImageError]]:
        """Yield each file with its objects, or the reason why it cannot be read, in order.

        Memory does not grow with the number of files; `num_workers` processes read ahead.
        """
        _check_threshold(threshold)
        files = (Path(path) for path in paths)
        for path, raw in self._predictor.detect_files(files, num_workers=num_workers):
            if isinstance(raw, ImageError):
                yield path, raw
            else:
                yield path, self._found(raw, threshold, self._reopen(path))

    def _detect(self, sources: Sequence[Any], threshold: float, channels: str) -> list[Found]:
        depth = self._predictor.depth
        arrays, reopens = [], []
        for source in sources:
            picture, deep = picture_of(source, channels=channels, depth=depth)
            arrays.append(pixels_of(picture, "BGR"))
            if isinstance(source, str | os.PathLike):
                self._deep.add(Path(source), deep)
                reopens.append(self._reopen(Path(source)))
            else:
                reopens.append(partial(_same, picture))
        raw = self._predictor.detect(arrays)
        return [self._found(r, threshold, o) for r, o in zip(raw, reopens, strict=True)]

    def _found(self, raw: Any, threshold: float, picture: Callable[[], Image.Image]) -> Found:
        return Found.of(raw, threshold=threshold, vocabulary=self._vocabulary, picture=picture)

    def _reopen(self, path: Path) -> Callable[[], Image.Image]:
        """Return a function that reads a file again, so that results do not keep its pixels."""
        depth = self._predictor.depth
        return lambda: read_picture(path, "RGB", depth)[0]


def _same(picture: Image.Image) -> Image.Image:
    return picture


def _check_threshold(threshold: float) -> None:
    is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if not is_number or not 0 <= threshold <= 1:
        raise ConfigError(f"threshold is {threshold!r}; give a number from 0 to 1")


def _vocabulary(opened: OpenedModel, place: ModelPlace) -> Vocabulary:
    """Return the names of what a model finds, as far as they are known."""
    classes = tuple(opened.class_names)
    from_one = tuple(range(1, len(classes) + 1))
    cfg = opened.cfg or _config_beside(place)
    if cfg is None:
        return Vocabulary(classes, from_one)
    names, ids = model_names(cfg), tuple(cfg.MODEL.CATEGORY_IDS)
    keypoints = tuple(names.keypoints)
    has_skeleton = cfg.MODEL.KEYPOINT_ON and (
        keypoints == COCO_PERSON
        or (not keypoints and len(COCO_PERSON) == cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS)
    )
    return Vocabulary(
        classes,
        ids if len(ids) == len(classes) else from_one,
        PERSON_EDGES if has_skeleton else (),
        tuple(names.stuff),
    )


def _config_beside(place: ModelPlace) -> CfgNode | None:
    """Return the config beside an exported model, which does without one."""
    try:
        config = place.files().config
        return None if config is None else load_model_config(config)
    except EngineError:
        return None
