"""The pictures that programs hand to a model: paths, contents of files, Pillow images, arrays.

H, W: height and width of the picture
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.engine.data.images.depth import Depth
from app.engine.data.images.reading import picture_of_content, read_picture, upright_picture
from app.engine.errors import ImageError
from app.engine.structures.deep import Deep

if TYPE_CHECKING:
    from torch import Tensor

Source: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | npt.NDArray[Any] | Tensor"
Channels = Literal["RGB", "BGR"]

_WIDE_MODES = ("I", "F")
"""Beginnings of Pillow's modes with more than 8 bits."""


def picture_of(
    source: Any, *, channels: str = "RGB", depth: Depth
) -> tuple[Image.Image, Deep | None]:
    """Return the picture as shown, of mode RGB, and its value range if it had more than 8 bits.

    channels  order of the channels of arrays and tensors
    depth     the value of white in files with more than 8 bits

    Raises ImageError if there is no picture in it.
    """
    if channels not in ("RGB", "BGR"):
        raise ImageError(f"channels is {channels!r}; say RGB or BGR")
    if isinstance(source, str | os.PathLike):
        return _of_file(Path(source), depth)
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
        return picture_of_content(content, "RGB", depth, name=f"a file of {len(content):,} bytes")
    if isinstance(source, Image.Image):
        return _of_pillow(source), None
    if isinstance(source, np.ndarray):
        return _of_array(source, channels), None
    if _is_tensor(source):
        return _of_tensor(source, channels), None
    raise ImageError(
        f"a {type(source).__name__} is no picture; give a path, the bytes of a file, a Pillow"
        " image, an array (height, width, channels) or a tensor (channels, height, width)"
    )


def _of_file(path: Path, depth: Depth) -> tuple[Image.Image, Deep | None]:
    if path.is_dir():
        raise ImageError(
            f"{path}: is a folder; give its images, such as list(Path(...).glob('*.jpg'))"
        )
    return read_picture(path, "RGB", depth)


def _of_pillow(image: Image.Image) -> Image.Image:
    name = str(getattr(image, "filename", "") or "a Pillow image")
    if image.mode.startswith(_WIDE_MODES):
        raise ImageError(
            f"{name}: a Pillow image of mode {image.mode} has more than 8 bits; give the path of"
            " its file, which is read as the model's training images were"
        )
    return upright_picture(image, name=name)


def _of_array(array: npt.NDArray[Any], channels: str) -> Image.Image:
    shape = " x ".join(map(str, array.shape)) or "no sides"
    if array.dtype != np.uint8:
        raise ImageError(
            f"the array holds {array.dtype}; give uint8 with values from 0 to 255, for example"
            " (array * 255).round().astype('uint8') of values from 0 to 1"
        )
    if array.ndim == 4:
        raise ImageError(f"the array is {shape}, which is several pictures; give list(array)")
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        advice = "give (height, width, 3)"
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            advice = "give array.transpose(1, 2, 0), which has its channels last"
        raise ImageError(f"the array is {shape}; {advice}")
    if not array.size:
        raise ImageError(f"the array is {shape}: it has no pixels")
    if array.shape[2] == 1:
        return Image.fromarray(np.ascontiguousarray(array[:, :, 0])).convert("RGB")
    colors = array[:, :, :3]  # without transparency, as of files
    return Image.fromarray(np.ascontiguousarray(colors[..., ::-1] if channels == "BGR" else colors))


def _is_tensor(source: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.Tensor)


def _of_tensor(tensor: Any, channels: str) -> Image.Image:
    shape = " x ".join(map(str, tensor.shape)) or "no sides"
    if tensor.ndim == 4:
        raise ImageError(f"the tensor is {shape}, which is several pictures; give list(tensor)")
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3, 4):
        raise ImageError(f"the tensor is {shape}; give (3, height, width)")
    if str(tensor.dtype) != "torch.uint8":
        raise ImageError(
            f"the tensor holds {tensor.dtype}; give uint8 with values from 0 to 255, for example"
            " (tensor * 255).round().to(torch.uint8) of values from 0 to 1"
        )
    return _of_array(tensor.detach().cpu().permute(1, 2, 0).numpy(), channels)
