"""Checkpoint files of every kind -> named tensors, without running anything from the file.

Kinds are told apart by content: torch zip archives (`.pth`, pycls `.pyth`), torch's older format,
safetensors, and pickles (`.pkl` of detectron2's zoo, of Detectron1 and of ImageNet classifiers).
"""

import pickle
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from app.engine.errors import CheckpointError
from app.engine.pickles import read_pickle

Naming = Literal["detectron2", "caffe2", "torchvision", "pycls"]

_WEIGHTS_KEYS = ("model", "model_state", "model_state_dict", "state_dict")
_MATCHING_QUERY = "?matching_heuristics=True"
_TORCH_ZIP = b"PK\x03\x04"
_TORCH_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."


@dataclass(frozen=True, slots=True)
class StateFile:
    """What a checkpoint file holds.

    model       name -> tensor on the CPU, as named in the file
    naming      whose names these are
    heuristics  names lack prefixes: match them by their ends
    extra       everything else at the top level: iteration, class names, optimizer, ...
    """

    model: dict[str, Tensor]
    naming: Naming
    heuristics: bool
    extra: dict[str, Any] = field(default_factory=dict)


def read_checkpoint(path: Path) -> StateFile:
    """Read `path`, which may end in `?matching_heuristics=True`, as detectron2 writes it.

    Raises CheckpointError where the file is missing, damaged, unsafe or holds no weights.
    """
    forced = path.name.endswith(_MATCHING_QUERY)
    if forced:
        path = path.with_name(path.name.removesuffix(_MATCHING_QUERY))
    content, is_pickle = _read(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not named weights")
    if is_pickle and not _is_zoo_file(content):
        state = _caffe2_state(content)
    else:
        state = _torch_state(content)
    model = {
        name: tensor
        for name, value in state.model.items()
        if (tensor := _tensor(value)) is not None
    }
    if not model:
        raise CheckpointError(f"{path}: holds no weights; choose another file")
    _check_tensors(path, model)
    return StateFile(
        _without_prefix(model, "module."), state.naming, state.heuristics or forced, state.extra
    )


def _check_tensors(path: Path, model: Mapping[str, Tensor]) -> None:
    """Every weight must be there in full: a view can claim more elements than a disk could hold."""
    size = path.stat().st_size
    for name, tensor in model.items():
        is_dense = tensor.layout is torch.strided and not tensor.is_quantized
        if not is_dense or tensor.is_meta or tensor.numel() * tensor.element_size() > size:
            raise CheckpointError(
                f"{path}: refused, because {name} says it is a {tuple(tensor.shape)} tensor and its"
                " numbers are not in the file; use a file that holds plain weights"
            )


def _read(path: Path) -> tuple[Any, bool]:
    """(content, whether it is a plain pickle)."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); check the path"
        ) from error
    if head.startswith((_TORCH_ZIP, _TORCH_LEGACY)):
        return load_tensors(path), False
    header_size = int.from_bytes(head[:8], "little")
    if path.suffix == ".safetensors" or (head[8:9] == b"{" and header_size < path.stat().st_size):
        return _read_safetensors(path), False
    return read_pickle(path), True


def load_tensors(path: Path) -> Any:
    """A file of `torch.save`, if it holds nothing but tensors, numbers, text and containers."""
    try:
        _check_zip(path)
        with torch.serialization.safe_globals(_SAFE_GLOBALS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a damaged file, which is refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL (\S+)", str(error))
        if name is None:
            raise CheckpointError(f"{path}: damaged; copy or download it again") from error
        raise CheckpointError(
            f"{path}: refused, because the file asks for {name[1]}, which could run code; "
            "use a file that holds only weights"
        ) from error
    except Exception as error:  # a damaged file can fail anywhere in torch's readers
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "weights_only" in reason:  # torch's advice here is to run what the file holds
            raise CheckpointError(
                f"{path}: refused, because reading this kind of file could run code; "
                "use a file that was written by torch.save in a current version"
            ) from error
        raise CheckpointError(
            f"{path}: not a whole checkpoint ({reason}); copy or download it again"
        ) from error


def _check_zip(path: Path) -> None:
    """torch stores its records as they are; a file that unpacks to more is an attack on memory."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        total = sum(record.file_size for record in archive.infolist())
        is_program = any(name.endswith("/constants.pkl") for name in archive.namelist())
    if is_program:
        raise CheckpointError(
            f"{path}: refused, because it is a TorchScript program, which could run code; "
            "use a file that holds only weights"
        )
    if total > path.stat().st_size * 1.05:
        raise CheckpointError(
            f"{path}: refused, because it unpacks to {total} bytes; "
            "use a file that was written by torch.save"
        )


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        return {"model": safetensors.torch.load_file(path)}
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a whole safetensors file ({error}); copy or download it again"
        ) from error


def _is_zoo_file(content: Mapping[str, Any]) -> bool:
    """Whether a pickle is detectron2's own: weights below a key, or names with dots."""
    return any(isinstance(content.get(key), Mapping) for key in _WEIGHTS_KEYS) or (
        "blobs" not in content and any("." in str(name) for name in content)
    )


def _caffe2_state(content: Mapping[str, Any]) -> StateFile:
    blobs = content.get("blobs", content)
    kept = {name: value for name, value in blobs.items() if not str(name).endswith("_momentum")}
    return StateFile(kept, "caffe2", True)


def _torch_state(content: Mapping[str, Any]) -> StateFile:
    key = next((key for key in _WEIGHTS_KEYS if isinstance(content.get(key), Mapping)), None)
    if key is None:
        return StateFile(dict(content), *_bare_naming(content))
    model = dict(content[key])
    extra = {name: value for name, value in content.items() if name != key}
    if key == "model_state":
        return StateFile(model, "pycls", True, extra)
    if key == "model":
        if extra.get("__author__") == "Caffe2":
            return StateFile(model, "caffe2", True, extra)
        if "__author__" in extra or "trainer" in extra or "iteration" in extra:
            return StateFile(model, "detectron2", bool(extra.get("matching_heuristics")), extra)
    naming, heuristics = _bare_naming(model)
    return StateFile(model, naming, heuristics or bool(extra.get("matching_heuristics")), extra)


def _bare_naming(model: Mapping[str, Any]) -> tuple[Naming, bool]:
    """Classifiers of torchvision are known by their names; their bodies need the heuristics."""
    if any(re.match(r"(module\.)?(layer1\.0\.|features\.0\.)", str(name)) for name in model):
        return "torchvision", True
    return "detectron2", False


def _tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "u" and value.dtype.itemsize > 1:
            value = value.astype(np.int64)
        return torch.from_numpy(value)
    return None


def _without_prefix(model: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    if not all(name.startswith(prefix) for name in model):
        return model
    return {name.removeprefix(prefix): tensor for name, tensor in model.items()}


def _safe_globals() -> list[Any]:
    """What old optimizer and schedule states hold besides tensors; none of it runs code."""
    scalar = np.float64(0).__reduce__()[0]
    dtypes = [type(np.dtype(code)) for code in "?bhilqBHILQefd"]
    names = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [Counter, np.dtype, *dict.fromkeys(dtypes), *names]


_SAFE_GLOBALS = _safe_globals()
