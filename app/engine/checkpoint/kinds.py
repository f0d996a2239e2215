"""Recognise files that are no weights by their first bytes, to name their kind and a remedy."""

import re
import zipfile
from pathlib import Path

from app.engine import file_kinds

HEAD = 1024
"""Number of first bytes that are examined."""

_COPY_AGAIN = "copy or download it again"
_SIGNS: tuple[tuple[str | tuple[file_kinds.Signature, ...], str, str], ...] = (
    # Beginning of the file, as a regular expression or as signatures; kind; remedy.
    (
        (file_kinds.GIT_LFS,),
        "a pointer of git-lfs, not the file itself",
        "run `git lfs pull` where it comes from and copy it again",
    ),
    (
        r"\s*(\.\./|\./)*(\.git/annex/objects/|/annex/objects/)",
        "a pointer of git-annex, not the file itself",
        "run `git annex get` where it comes from and copy it again",
    ),
    (
        r"(?:\xef\xbb\xbf)?\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body|script|meta)\b",
        "a web page (HTML)",
        "the download gave a page in place of the file: download it again, after signing in if "
        "need be",
    ),
    (
        r"(?:\xef\xbb\xbf)?\s*<(\?xml|[A-Za-z])",
        "an XML document, such as a server's error message",
        "download the file again",
    ),
    (
        r'(?:\xef\xbb\xbf)?\s*(\{\s*("|\}\s*$)|\[\s*["{\d])',
        "JSON text",
        "download the file again, or choose the one with the weights",
    ),
    ((file_kinds.GZIP,), "a gzip archive", "unpack it"),
    (r"BZh\d", "a bzip2 archive", "unpack it"),
    (r"\xfd7zXZ\0", "an xz archive", "unpack it"),
    (r"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it"),
    ((file_kinds.SEVEN_ZIP,), "a 7z archive", "unpack it"),
    ((file_kinds.RAR,), "a RAR archive", "unpack it"),
    ((file_kinds.TAR,), "a tar archive", "unpack it"),
    ((file_kinds.HDF5,), "an HDF5 file (Keras)", "use weights that torch.save wrote"),
    ((file_kinds.NUMPY,), "a numpy array", "use weights that torch.save wrote"),
    (
        (file_kinds.PNG, file_kinds.JPEG, file_kinds.GIF, file_kinds.PDF, *file_kinds.TIFF),
        "a picture or document",
        _COPY_AGAIN,
    ),
    (r"\x7fELF|MZ", "a program", _COPY_AGAIN),
    (r".{4}TFL3", "a TensorFlow Lite model", "use weights that torch.save wrote"),
    (
        r"\x08[\x01-\x20]\x12.{1,30}(pytorch|onnx)|\x08[\x01-\x20]\x12.[ -~]{3,40}\x1a",
        "an ONNX model",
        "use the .pth file that it was exported from",
    ),
    (
        (file_kinds.APPLE_DOUBLE,),
        "a Mac's side file (AppleDouble)",
        "copy the file of the name without `._`",
    ),
    (r"#!|import |from ", "a script", "choose the file with the weights"),
)


def _pattern(sign: str | tuple[file_kinds.Signature, ...]) -> re.Pattern[bytes]:
    if isinstance(sign, str):
        return re.compile(sign.encode("latin1"), re.DOTALL | re.IGNORECASE)
    starts = (b".{%d}" % offset + re.escape(content) for offset, content in sign)
    return re.compile(b"|".join(starts), re.DOTALL)


_PATTERNS = tuple((_pattern(sign), kind, remedy) for sign, kind, remedy in _SIGNS)


def foreign_kind(path: Path) -> str | None:
    """`an X; DO THIS` for a file that is known to be no weights; None for other files.

    Raises OSError if the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD)
    return _foreign_zip(path, size) if head.startswith(b"PK") else foreign_head(head, size)


def foreign_head(head: bytes, size: int) -> str | None:
    """`foreign_kind` by the first bytes of a file of `size` bytes, without a look into archives."""
    if not head:
        return f"empty (0 bytes); {_COPY_AGAIN}"
    if not any(head):
        return f"nothing but zeros at its start: it was not completely written; {_COPY_AGAIN}"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        return None  # safetensors: its first bytes, the header's length, may match any pattern
    for pattern, kind, remedy in _PATTERNS:
        if pattern.match(head):
            return f"{kind}; {remedy}"
    return None


def folder_kind(path: Path) -> str:
    """`an X; DO THIS` for a folder in place of a file."""
    if any(path.rglob("data.pkl")):
        return "a folder, the unpacked parts of a file; copy the file itself, not unpacked"
    return "a folder; choose the file with the weights in it"


def _foreign_zip(path: Path, size: int) -> str | None:
    """`foreign_kind` of a file that starts like a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [item.filename for item in archive.infolist() if not item.is_dir()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError):
        return f"a torch or zip file that ends early (after {size} bytes); {_COPY_AGAIN}"
    if any(name.rpartition("/")[2] in ("data.pkl", "constants.pkl") for name in names):
        return None
    inner = [name for name in names if name.endswith((".pth", ".pt", ".pkl", ".safetensors"))]
    if inner:
        return f"a zip archive around {inner[0]}; unpack it and use that"
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of numpy arrays (.npz); use weights that torch.save wrote"
    example = f", such as {names[0]}" if names else ""
    return f"a zip archive of {len(names)} files{example}, and none is of torch.save; unpack it"
