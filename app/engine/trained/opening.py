"""Open a trained model: an exported file in ONNX Runtime, or the weights in torch.

An exported file is used on request (`backend`, `precision: int8`), or automatically (`backend:
auto`) if it is the faster one: on the CPU, in float32, with a backbone for small machines, and
exported from the same weights that lie beside it. Only the chosen library is imported.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from app.engine.config import CfgNode
from app.engine.config.backbone_names import is_faster_exported
from app.engine.data.images.depth import Depth
from app.engine.data.images.reading import Pixels
from app.engine.errors import CheckpointError, ImageError, ObjectKindError
from app.engine.imports import lasting_imports
from app.engine.predictor.onnx_card import FILE_NAMES
from app.engine.predictor.streams import MAX_STREAMS
from app.engine.structures.tiles import TileGrid
from app.engine.trained.model_files import ModelFiles, find_model, find_onnx
from common.files import sha256_of
from common.host_limits import cpu_count
from common.limited_yaml import YamlError, read_yaml

logger = logging.getLogger(__name__)

Kind = Literal["boxes", "masks", "all"]


@dataclass(frozen=True)
class ModelPlace:
    """Where a model's files are looked for.

    folder    the folder that is searched, best stage first
    listed    files of the folder that are tried before
    exported  the exported file to use; None: the one of its usual name
    """

    folder: Path
    listed: tuple[Path, ...] = ()
    exported: Path | None = None

    def files(self) -> ModelFiles:
        """Return weights and config; CheckpointError if there are no weights."""
        return find_model(self.listed, self.folder)

    def exported_file(self, name: str) -> Path | None:
        """Return the exported file, if there is one."""
        return self.exported or find_onnx(name, self.listed, self.folder)


@dataclass(frozen=True, kw_only=True)
class Opening:
    """How a model is opened.

    device           cpu or cuda:N
    num_images       number of images that it will be given, as far as is known
    batch_size       largest number of images at once
    score_threshold  lowest score of detections; None: the lowest that the model's config allows
    image_size       shorter side of resized images in pixels; 0: as the model's config
    tile_size        side in pixels of the tiles into which larger images are cut; 0: as the model's
                     config
    tile_overlap     least number of pixels that neighbouring tiles share; 0: as the model's config,
                     or a quarter of `tile_size` if that is given
    precision        auto, fp32, bf16, fp16 or int8
    backend          auto, torch or onnxruntime
    kind             what it is to find: boxes only, masks with their boxes, or all that it can
    class_names      the names that the caller expects, used if the model has none
    views            whether the views of TEST.AUG are used
    """

    device: str = "cpu"
    num_images: int = 1
    batch_size: int = 1
    score_threshold: float | None = None
    image_size: int = 0
    tile_size: int = 0
    tile_overlap: int = 0
    precision: str = "auto"
    backend: str = "auto"
    kind: Kind = "all"
    class_names: tuple[str, ...] = ()
    views: bool = True

    @property
    def asks_for_exported(self) -> bool:
        """Whether only an exported file will do."""
        return self.backend == "onnxruntime" or self.precision == "int8"


class FindsObjects(Protocol):
    """A predictor; detections have boxes, scores, classes, masks, image_size.

    group_size  files that are computed together
    depth       the value of white in images with more than 8 bits
    """

    group_size: int

    @property
    def depth(self) -> Depth: ...

    def detect(self, images: Sequence[Pixels]) -> Sequence[Any]:
        """Return the detections of images (H, W, 3) uint8 BGR."""
        ...

    def detect_files(
        self, paths: Iterable[Path], *, num_workers: int = 0
    ) -> Iterator[tuple[Path, Any | ImageError]]:
        """Yield the detections of each file, in order."""
        ...


@dataclass(frozen=True)
class OpenedModel:
    """A model with the names of its classes, in the order of its outputs.

    cfg  the config of a model that computes with torch; None for an exported one
    """

    predictor: FindsObjects
    class_names: list[str]
    cfg: CfgNode | None = None


def open_model(place: ModelPlace, opening: Opening) -> OpenedModel:
    """Open the model of a place.

    Raises CheckpointError if there is no usable model, ObjectKindError if it does not find the
    wanted kind of object.
    """
    asked = opening.asks_for_exported
    path = _exported_file(place, opening)
    if path is not None and (asked or (opening.device == "cpu" and _is_faster(place))):
        try:
            return _open_exported(place, opening, path)
        except (CheckpointError, ObjectKindError) as error:
            if asked:
                raise
            logger.warning("%s; torch and the weights are used", error)
    with lasting_imports():
        from app.engine.trained.torch_model import open_torch_model

    torch_model = open_torch_model(place, opening)
    return OpenedModel(torch_model.predictor, torch_model.class_names, torch_model.cfg)


def _exported_file(place: ModelPlace, opening: Opening) -> Path | None:
    """Return the exported file to use, None for torch; CheckpointError if it must be and is not."""
    if opening.backend == "torch" or opening.precision in ("bf16", "fp16"):
        return None
    is_int8 = opening.precision == "int8"
    name = FILE_NAMES["int8" if is_int8 else "fp32"]
    path = place.exported_file(name)
    if path is None and opening.asks_for_exported:
        raise CheckpointError(
            f"{place.folder}: there is no {name}; train with export set to "
            f"{'int8' if is_int8 else 'onnx'}, or set backend to torch and precision to fp32"
        )
    return path


def _open_exported(place: ModelPlace, opening: Opening, path: Path) -> OpenedModel:
    """Open the exported model; CheckpointError or ObjectKindError if it does not fit."""
    from app.engine.predictor.onnx_predictor import OnnxPredictor
    from app.engine.predictor.onnx_weights import check_weights

    check_weights(path)
    on_cpu = opening.device == "cpu"
    streams = max(min(cpu_count(), MAX_STREAMS, opening.num_images), 1) if on_cpu else 1
    predictor = OnnxPredictor(
        path,
        batch_size=1 if on_cpu else opening.batch_size,
        score_threshold=opening.score_threshold,
        image_size=opening.image_size,
        tile_size=opening.tile_size,
        tile_overlap=opening.tile_overlap,
        boxes_only=opening.kind == "boxes",
        device=opening.device,
        streams=streams,
    )
    if not opening.asks_for_exported and not _is_of_weights_beside(predictor.card, place):
        raise CheckpointError(f"{path} was made from other weights than those beside it")
    if opening.kind == "masks" and not predictor.card.has_masks:
        raise ObjectKindError("the exported model finds boxes only; choose a Mask R-CNN model")
    names = list(predictor.card.class_names)
    if opening.class_names and list(opening.class_names) != names:
        logger.warning("class_names are not the model's (%s), which are used", ", ".join(names))
    logger.info(
        "model: %s (ONNX Runtime, %s, %s, %d at once), classes: %s",
        path,
        predictor.card.precision,
        opening.device,
        streams if on_cpu else opening.batch_size,
        ", ".join(names),
    )
    tell_tiles(predictor.grid, opening)
    return OpenedModel(predictor, names)


def tell_tiles(grid: TileGrid | None, opening: Opening) -> None:
    """Log into which tiles large photographs are cut, and who has decided that."""
    if grid is not None:
        logger.info(
            "tiles: images with a side above %d px are cut into tiles of %d px that share at least "
            "%d px, %s",
            grid.side,
            grid.side,
            grid.overlap,
            "as tile_size asks" if opening.tile_size else "as the model was trained",
        )
    elif opening.tile_overlap:
        logger.warning(
            "tile_overlap %d has no effect: the model was trained without tiles, and tile_size is "
            "not set",
            opening.tile_overlap,
        )


def _is_faster(place: ModelPlace) -> bool:
    """Whether ONNX Runtime computes the model's backbone faster than torch on a CPU."""
    config = place.files().config
    try:
        body: Any = None if config is None else read_yaml(config).value
    except YamlError:
        return False  # the torch path reports the error
    for key in ("MODEL", "BACKBONE", "NAME"):
        body = body.get(key) if isinstance(body, dict) else None
    return is_faster_exported(str(body))


def _is_of_weights_beside(card: Any, place: ModelPlace) -> bool:
    """Whether the file was exported from the weights that torch would use."""
    return bool(sha256_of(place.files().weights) == card.weights_sha256)
