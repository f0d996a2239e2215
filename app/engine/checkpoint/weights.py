"""Find the file of `MODEL.WEIGHTS` in folders of weights, or download it once."""

import hashlib
import logging
import os
import queue
import re
import ssl
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from http.client import HTTPException
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from app.engine.checkpoint.catalog import CATALOG
from app.engine.checkpoint.catalog import HOST as CATALOG_HOST
from app.engine.checkpoint.kinds import HEAD, foreign_head, foreign_kind
from app.engine.errors import CheckpointError, DownloadError
from common.files import sha256_of, write_atomically

logger = logging.getLogger(__name__)

ATTEMPTS = 3
REACH_S = 6.0
"""Longest wait for a server's answer in all attempts; short for machines without a network."""
STALL_S = 30.0
"""A download without data for this time is started again."""
PAUSE_S = 1.0
LOG_PERIOD_S = 5.0

_HOST = "https://dl.fbaipublicfiles.com"
_QUERY = "?matching_heuristics=True"


def find_weights(
    weights: str,
    weights_dirs: Sequence[Path],
    *,
    allow_download: bool,
    remedies: Callable[[], str] | None = None,
) -> Path | None:
    """Return the file that `MODEL.WEIGHTS` names, or None for '' (start from scratch).

    A URL is searched below each folder by the end of its path, longest first, then downloaded into
    the first writable folder. The returned path keeps `?matching_heuristics=True`.
    Raises CheckpointError with the `remedies` if there is no such file (DownloadError if its
    download failed).
    """
    if not weights:
        return None
    plain = weights.removesuffix(_QUERY)
    path = local_weights(weights, weights_dirs)
    try:
        if path is None and "://" in plain:
            path = _fetch(plain, weights_dirs, allow_download=allow_download)
        if path is None:
            raise _NowhereError(_what_is_there(plain))
    except _NowhereError as error:
        advice = remedies() if remedies else _remedies(plain, weights_dirs)
        kind = DownloadError if error.is_networks else CheckpointError
        raise kind(f"MODEL.WEIGHTS {plain}: {error}; {advice}") from error
    check_hash_in_name(path)
    return path.with_name(path.name + _QUERY) if weights.endswith(_QUERY) else path


def local_weights(weights: str, weights_dirs: Sequence[Path]) -> Path | None:
    """The file that `MODEL.WEIGHTS` names, if it exists on this machine."""
    return _look_up(weights.removesuffix(_QUERY), weights_dirs)


def why_unreachable(weights: str) -> str:
    """The reason why weights with an address could not be downloaded now; '' if they could.

    The server is asked once, and nothing is stored.
    """
    url = resolve_url(weights.removesuffix(_QUERY))
    try:
        _answer(url, REACH_S).close()
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        return _reason(error, url)
    return ""


class _NowhereError(Exception):
    """Weights were not found; the message is the reason."""

    def __init__(self, reason: str, *, is_networks: bool = False) -> None:
        super().__init__(reason)
        self.is_networks = is_networks


def resolve_url(weights: str) -> str:
    """The https URL of `detectron2://`, `catalog://` or `torchvision://`; http(s) is unchanged."""
    scheme, _, rest = weights.partition("://")
    if scheme in ("http", "https"):
        try:
            urlsplit(weights)
        except ValueError as error:
            raise CheckpointError(f"MODEL.WEIGHTS {weights}: no address ({error})") from error
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
    """Raise CheckpointError if the SHA-256 differs from its first digits in torchvision's name."""
    promised = _hash_in_name(path)
    if promised and not sha256_of(path).startswith(promised):
        raise CheckpointError(
            f"{path}: its content does not have the checksum {promised} of its name; "
            "copy or download it again"
        )


def _hash_in_name(path: PurePath) -> str:
    found = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    return found[1] if found else ""


def _look_up(weights: str, weights_dirs: Sequence[Path]) -> Path | None:
    if "://" not in weights and _is_file(Path(weights)):
        return Path(weights)
    for tail in _tails(weights):
        for directory in weights_dirs:
            if _is_file(directory / tail):
                return directory / tail
    return None


def _what_is_there(path: str) -> str:
    with suppress(OSError, ValueError):  # ValueError: invalid file name
        if Path(path).is_dir():
            return "a folder, not a file"
    return "there is no such file"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # no permission, or the storage does not answer
        logger.warning("%s: passed over (%s)", path, error.strerror)
        return False


def _tails(weights: str) -> list[str]:
    """`a/b/c.pkl` -> a/b/c.pkl, b/c.pkl, c.pkl; of the given and of the resolved address."""
    names = [_names(weights.partition("://")[2] or weights)]
    if "://" in weights:
        names.append(_names(urlsplit(resolve_url(weights)).path))
    tails = ["/".join(parts[start:]) for parts in names for start in range(len(parts))]
    return sorted(dict.fromkeys(tails), key=lambda tail: -tail.count("/"))


def _names(path: str) -> tuple[str, ...]:
    """The parts of a path without `..` and the root."""
    return tuple(p for p in PurePosixPath(unquote(path)).parts if p not in ("/", "//", ".."))


def _fetch(weights: str, weights_dirs: Sequence[Path], *, allow_download: bool) -> Path:
    url = resolve_url(weights)
    if not allow_download:
        raise _NowhereError("not found, and downloads are off")
    directory = next((d for d in weights_dirs if os.access(d, os.W_OK)), None)
    directory = directory or Path(tempfile.gettempdir()) / "weights"
    path = directory.joinpath(*_names(urlsplit(url).path))
    if path.is_file():
        return path
    download = _Download(url)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            write_atomically(path, download.run)
            return path
        except (OSError, HTTPException, ValueError) as error:
            reason = _reason(error, url)
            logger.warning("Download of %s, attempt %d of %d: %s", url, attempt, ATTEMPTS, reason)
            if _is_final(error):
                break
            if download.has_answered or isinstance(error, urllib.error.HTTPError):
                download.reach_until = time.monotonic() + REACH_S
        pause = PAUSE_S * attempt
        if attempt == ATTEMPTS or time.monotonic() + pause >= download.reach_until:
            break
        time.sleep(pause)
    raise _NowhereError(f"not here, and its download failed ({reason})", is_networks=True)


class _Download:
    """Downloads one file and checks its content on the way.

    reach_until   time (`time.monotonic`) by which the server must have answered
    has_answered  whether the server has answered
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.reach_until = time.monotonic() + REACH_S
        self.has_answered = False
        self._promised = _hash_in_name(PurePath(urlsplit(url).path))

    def run(self, file: BinaryIO) -> None:
        """Write the answer to `file`; raises CheckpointError unless it is the right weights."""
        with _answer(self.url, self.reach_until - time.monotonic()) as response:
            self.has_answered = True
            total = response.length or 0
            done, logged_at, digest = 0, time.monotonic(), hashlib.sha256()
            logger.info("Downloading %s (%.1f MB)", self.url, total / 1e6)
            head = b""
            while chunk := response.read(1 << 20):
                if len(head) < HEAD:
                    head = (head + chunk)[:HEAD]
                    self._check_head(head, total or sys.maxsize)
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                if time.monotonic() - logged_at > LOG_PERIOD_S:
                    logged_at = time.monotonic()
                    logger.info("Downloaded %.1f of %.1f MB", done / 1e6, total / 1e6)
        self._check_head(head, done)
        if total and done != total:
            raise ConnectionError(f"the connection ended after {done} of {total} bytes")
        if self._promised and not digest.hexdigest().startswith(self._promised):
            raise CheckpointError(f"what came does not have the checksum {self._promised}")
        if not total:
            _check_end(file)

    def _check_head(self, head: bytes, size: int) -> None:
        kind = foreign_head(head, size)
        if kind is not None:
            raise _ForeignError(f"the answer is {kind.partition(';')[0]} and no weights")


class _ForeignError(CheckpointError):
    """The server's answer is no weights; another attempt does not help."""


def _check_end(file: BinaryIO) -> None:
    """Raise ConnectionError for an incomplete zip archive, if the server did not send a length."""
    file.flush()
    kind = foreign_kind(Path(f"/dev/fd/{file.fileno()}"))
    if kind is not None:
        raise ConnectionError(f"what came is {kind.partition(';')[0]}")


def _answer(url: str, seconds: float) -> Any:
    """Return the server's response or raise its error; TimeoutError after `seconds`.

    The request runs in a thread, because looking up a host name has no timeout.
    """
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    is_late = threading.Event()

    def ask() -> None:
        try:
            answer: Any = urllib.request.build_opener().open(url, timeout=STALL_S)
        except Exception as error:  # raised again in the waiting thread
            answer = error
        answers.put(answer)
        if is_late.is_set():
            with suppress(AttributeError):
                answer.close()

    threading.Thread(target=ask, name="download", daemon=True).start()
    try:
        answer = answers.get(timeout=max(seconds, 0.1))
    except queue.Empty:
        is_late.set()
        raise TimeoutError(f"no answer within {REACH_S:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _is_final(error: Exception) -> bool:
    """Whether another attempt cannot help."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return 400 <= error.code < 500 and error.code not in (408, 429)
    cause = getattr(error, "reason", None)
    return isinstance(cause, ssl.SSLCertVerificationError) or isinstance(error, _ForeignError)


def _reason(error: Exception, url: str) -> str:
    """The reason why a download failed, with the proxy if there is one."""
    cause: object = error
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        cause = error.reason
    text = str(cause) or type(error).__name__
    parts = urlsplit(url)
    proxy = urlsplit(urllib.request.getproxies().get(parts.scheme, ""))
    if not proxy.hostname or urllib.request.proxy_bypass(parts.hostname or ""):
        return text
    return f"{text}, through the proxy {proxy.hostname}:{proxy.port}"


def _remedies(weights: str, weights_dirs: Sequence[Path]) -> str:
    folder = weights_dirs[0] if weights_dirs else Path("/weights")
    return (
        f"mount a folder with {_tails(weights)[-1]} at {folder}, bake the file into the image, "
        'or set MODEL.WEIGHTS to "" to start from scratch'
    )
