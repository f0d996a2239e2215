"""Read named tensors from checkpoint files of all formats without running code of the file.

The format is recognised by the content: torch zip archives (`.pth`, pycls `.pyth`), torch's older
format, safetensors, and pickles (`.pkl` of detectron2's zoo, Detectron1 and ImageNet classifiers).
"""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from app.engine.checkpoint.kinds import folder_kind, foreign_kind
from app.engine.checkpoint.layout import Naming, find_state
from app.engine.checkpoint.torchvision_detectors import Kind, converted, kind_of, known_names
from app.engine.errors import CheckpointError
from app.engine.inert import RefusedError, StandIn, class_of, finished, stand_in
from app.engine.pickles import read_pickle
from common.text import first_line

_MATCHING_QUERY = "?matching_heuristics=True"
_TORCH_ZIP = b"PK\x03\x04"
_TORCH_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_MAX_NAMES = 64
_SAVE_ALONE = 'save the weights alone: torch.save({"model": model.state_dict()}, FILE)'


@dataclass(frozen=True, slots=True)
class StateFile:
    """The content of a checkpoint file.

    model       name in the file -> tensor on the CPU; the engine's names if `kind` is given
    naming      library whose names these are
    heuristics  whether names lack prefixes and must be matched by their ends
    extra       everything else at the top level: iteration, class names, optimizer, ...
    kind        the detector of torchvision that it was
    """

    model: dict[str, Tensor]
    naming: Naming
    heuristics: bool
    extra: dict[str, Any] = field(default_factory=dict)
    kind: Kind | None = None


def read_checkpoint(path: Path) -> StateFile:
    """Read `path`, which may end in `?matching_heuristics=True`, as detectron2 writes it.

    Detectors of torchvision are converted. Raises CheckpointError if the file is missing, damaged,
    unsafe, has no weights, or those of an unknown detector.
    """
    forced = path.name.endswith(_MATCHING_QUERY)
    if forced:
        path = path.with_name(path.name.removesuffix(_MATCHING_QUERY))
    content, is_pickle = _read(path)
    if not isinstance(content, Mapping):
        kind = class_of(content) or type(content).__name__
        raise CheckpointError(f"{path}: holds a {kind}, not named weights; {_SAVE_ALONE}")
    found = find_state(content, path, is_pickle=is_pickle)
    model = {
        name: tensor
        for name, value in found.weights.items()
        if (tensor := _tensor(value)) is not None
    }
    if not model:
        keys = ", ".join(str(key) for key in list(content)[:5]) or "nothing"
        raise CheckpointError(f"{path}: holds no weights (it holds {keys}); choose another file")
    _check_tensors(path, model)
    detector = kind_of(model, path) if found.naming == "detectron2" else None
    if detector is None:
        return StateFile(model, found.naming, found.heuristics or forced, found.extra)
    model = converted(model, detector, path)
    return StateFile(model, "detectron2", False, known_names(model) | found.extra, detector)


def _check_tensors(path: Path, model: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError for tensors that are not dense or claim to be larger than the file."""
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
        kind = folder_kind(path) if path.is_dir() else foreign_kind(path)
        if kind is not None:
            raise CheckpointError(f"{path}: no weights: it is {kind}")
        with path.open("rb") as file:
            head = file.read(16)
        size = path.stat().st_size
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); check the path"
        ) from error
    if head.startswith((_TORCH_ZIP, _TORCH_LEGACY)):
        return load_tensors(path), False
    header_size = int.from_bytes(head[:8], "little")
    if path.suffix == ".safetensors" or (head[8:9] == b"{" and header_size < size):
        return _read_safetensors(path), False
    return read_pickle(path), True


def load_tensors(path: Path) -> Any:
    """Read tensors, numbers, text and containers of a `torch.save` file; the rest as stand-ins."""
    try:
        _check_zip(path)
        return _load_with_stand_ins(path)
    except CheckpointError:
        raise
    except RefusedError as error:
        raise CheckpointError(
            f"{path}: refused, because the file asks for {error}, which could run code; "
            f"{_SAVE_ALONE}"
        ) from error
    except pickle.UnpicklingError as error:
        if "Unsupported operand" in str(error):
            raise CheckpointError(
                f"{path}: its pickle protocol is not torch.save's own (2), or it is damaged; "
                "write it again with torch.save(..., FILE) and no pickle_protocol"
            ) from error
        name = re.search(r"GLOBAL (\S+)|function (\S+)|but got (.*)", str(error))
        if name is None:
            reason = str(error).rpartition("WeightsUnpickler error: ")[2].splitlines()[0]
            raise CheckpointError(
                f"{path}: damaged, or not to be read without running code ({reason}); copy or "
                "download it again"
            ) from error
        raise CheckpointError(
            f"{path}: refused, because the file asks for {name[1] or name[2] or name[3]}, which "
            f"could run code; {_SAVE_ALONE}"
        ) from error
    except Exception as error:  # a damaged file can fail anywhere in torch's readers
        reason = first_line(error)
        if "weights_only" in reason:  # torch's message advises to run the file's code
            raise CheckpointError(
                f"{path}: refused, because reading this kind of file could run code; "
                "use a file that was written by torch.save in a current version"
            ) from error
        raise CheckpointError(
            f"{path}: not a whole checkpoint ({reason}); copy or download it again"
        ) from error


def _load_with_stand_ins(path: Path) -> Any:
    """Read with torch's safe reader, giving it a stand-in for each name that it refuses."""
    known: dict[str, Any] = {}
    while True:
        names: list[Any] = [(value, name) for name, value in known.items()]
        try:
            with torch.serialization.safe_globals(names), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a damaged file is refused in any case
                content = torch.load(path, map_location="cpu", weights_only=True)
            return finished(content) if known else content
        except (TypeError, ValueError) as error:
            classes = [name for name, value in known.items() if isinstance(value, StandIn)]
            if not classes:
                raise
            raise RefusedError(f"an object of {classes[-1]} with a state of its own") from error
        except pickle.UnpicklingError as error:
            asked = re.search(r"GLOBAL (\S+) was not", str(error))
            if asked is None:
                raise
            # torch's message has no module for names of Python's builtins.
            name = asked[1] if "." in asked[1] else f"builtins.{asked[1]}"
            if name in known or len(known) == _MAX_NAMES:
                raise
            known[name] = stand_in(name)


def _check_zip(path: Path) -> None:
    """Raise CheckpointError for programs, and for compressed records, which may fill the memory."""
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


def _tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "u" and value.dtype.itemsize > 1:
            value = value.astype(np.int64)
        return torch.from_numpy(value)
    return None
