"""`MODEL.WEIGHTS` -> a file: looked up in folders of weights, else downloaded once."""

import logging
import os
import re
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from difflib import get_close_matches
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from app.engine.checkpoint.catalog import CATALOG
from app.engine.checkpoint.catalog import HOST as CATALOG_HOST
from app.engine.errors import CheckpointError, DownloadError
from app.engine.files import sha256_of, write_atomically

logger = logging.getLogger(__name__)

ATTEMPTS = 3
TIMEOUT_S = 30.0
PAUSE_S = 2.0
LOG_PERIOD_S = 5.0

_HOST = "https://dl.fbaipublicfiles.com"
_QUERY = "?matching_heuristics=True"


def find_weights(
    weights: str, weights_dirs: Sequence[Path], *, allow_download: bool
) -> Path | None:
    """The file that `MODEL.WEIGHTS` names, or None for '' (start from scratch).

    A URL is searched below each folder by the end of its path, longest first, then downloaded into
    the first folder that can be written. `?matching_heuristics=True` stays on the returned path.
    Raises CheckpointError, naming the remedies, where the file is nowhere (DownloadError where the
    network did not give it).
    """
    if not weights:
        return None
    plain = weights.removesuffix(_QUERY)
    path = _look_up(plain, weights_dirs)
    if path is None and "://" in plain:
        path = _fetch(plain, weights_dirs, allow_download=allow_download)
    if path is None:
        raise CheckpointError(
            f"MODEL.WEIGHTS {plain}: there is no such file; {_remedies(plain, weights_dirs)}"
        )
    check_hash_in_name(path)
    return path.with_name(path.name + _QUERY) if weights.endswith(_QUERY) else path


def resolve_url(weights: str) -> str:
    """`detectron2://`, `catalog://` and `torchvision://` as https; http(s) as it is."""
    scheme, _, rest = weights.partition("://")
    if scheme in ("http", "https"):
        return weights
    if scheme == "detectron2":
        return f"{_HOST}/detectron2/{rest}"
    if scheme == "torchvision":
        return f"https://download.pytorch.org/models/{rest}"
    if scheme == "catalog":
        if rest in CATALOG:
            return f"{CATALOG_HOST}/{CATALOG[rest]}"
        near = get_close_matches(rest, CATALOG, n=1, cutoff=0.0)
        raise CheckpointError(
            f"MODEL.WEIGHTS {weights}: not in the catalog; did you mean catalog://{near[0]}?"
        )
    raise CheckpointError(
        f"MODEL.WEIGHTS {weights}: unknown kind of address; use a path, detectron2://, catalog://, "
        "torchvision:// or https://"
    )


def check_hash_in_name(path: Path) -> None:
    """torchvision's names end in the first digits of the SHA-256; CheckpointError if they lie."""
    promised = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    if promised is None:
        return
    if not sha256_of(path).startswith(promised[1]):
        raise CheckpointError(
            f"{path}: its content does not have the checksum {promised[1]} of its name; "
            "copy or download it again"
        )


def _look_up(weights: str, weights_dirs: Sequence[Path]) -> Path | None:
    if "://" not in weights and Path(weights).is_file():
        return Path(weights)
    for tail in _tails(weights):
        for directory in weights_dirs:
            if (directory / tail).is_file():
                return directory / tail
    return None


def _tails(weights: str) -> list[str]:
    """`a/b/c.pkl` -> a/b/c.pkl, b/c.pkl, c.pkl; of the address as given and as resolved."""
    names = [_names(weights.partition("://")[2] or weights)]
    if "://" in weights:
        names.append(_names(urlsplit(resolve_url(weights)).path))
    tails = ["/".join(parts[start:]) for parts in names for start in range(len(parts))]
    return sorted(dict.fromkeys(tails), key=lambda tail: -tail.count("/"))


def _names(path: str) -> tuple[str, ...]:
    """The parts of a path, without any that lead up or to the root."""
    return tuple(p for p in PurePosixPath(unquote(path)).parts if p not in ("/", "//", ".."))


def _fetch(weights: str, weights_dirs: Sequence[Path], *, allow_download: bool) -> Path:
    url = resolve_url(weights)
    if not allow_download:
        raise CheckpointError(
            f"MODEL.WEIGHTS {weights}: not found, and downloads are off; "
            f"{_remedies(weights, weights_dirs)}"
        )
    directory = next((d for d in weights_dirs if os.access(d, os.W_OK)), None)
    directory = directory or Path(tempfile.gettempdir()) / "weights"
    path = directory.joinpath(*_names(urlsplit(url).path))
    if path.is_file():
        return path
    for attempt in range(1, ATTEMPTS + 1):
        try:
            write_atomically(path, lambda file: _download(url, file))
            check_hash_in_name(path)
            return path
        except (OSError, HTTPException, CheckpointError) as error:
            path.unlink(missing_ok=True)
            reason = error
            logger.warning("Download of %s, attempt %d of %d: %s", url, attempt, ATTEMPTS, error)
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                if error.code in (403, 404):
                    break
            if attempt < ATTEMPTS:
                time.sleep(PAUSE_S * attempt)
    raise DownloadError(
        f"MODEL.WEIGHTS {weights}: not found, and downloading {url} failed ({reason}); "
        f"{_remedies(weights, weights_dirs)}"
    )


def _download(url: str, file: BinaryIO) -> None:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
        total = int(response.headers.get("Content-Length") or 0)
        done, logged_at = 0, time.monotonic()
        logger.info("Downloading %s (%.1f MB)", url, total / 1e6)
        while chunk := response.read(1 << 20):
            file.write(chunk)
            done += len(chunk)
            if time.monotonic() - logged_at > LOG_PERIOD_S:
                logged_at = time.monotonic()
                logger.info("Downloaded %.1f of %.1f MB", done / 1e6, total / 1e6)
        if total and done != total:
            raise ConnectionError(f"the connection ended after {done} of {total} bytes")


def _remedies(weights: str, weights_dirs: Sequence[Path]) -> str:
    folder = weights_dirs[0] if weights_dirs else Path("/weights")
    return (
        f"mount a folder with {_tails(weights)[-1]} at {folder}, bake the file into the image, "
        'or set MODEL.WEIGHTS to "" to start from scratch'
    )
