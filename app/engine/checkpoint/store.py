"""Checkpoints to resume from: two files written in turn, and a manifest with their checksums.

After a crash the previous file is still there; files that do not match the manifest are not read.
Contents are tensors, numbers, text and containers of these, so reading cannot run code.
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from app.engine.checkpoint.files import load_tensors
from app.engine.errors import CheckpointError
from common.files import remove_remains, sha256_of, write_atomically

logger = logging.getLogger(__name__)

FORMAT = 1
_MANIFEST = "manifest.json"
_SLOTS = ("a.pt", "b.pt")


class CheckpointStore:
    """The checkpoints of one run in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def save(self, state: dict[str, Any]) -> None:
        """Replace the older file by `state`, then update the manifest.

        If the disk is full, the older file is deleted first, never the newer one; raises OSError if
        that is not enough.
        """
        assert is_plain(state), "a checkpoint holds tensors, numbers, text and containers of these"
        entries = self._entries()
        slot = next(name for name in _SLOTS if not entries or entries[0]["file"] != name)
        remove_remains(self.directory)
        try:
            entry = self._write(slot, state)
        except OSError as error:
            older = self.directory / slot
            if not older.exists():
                raise
            logger.warning("%s: %s; trying again without the older checkpoint", older, error)
            self._write_manifest([item for item in entries if item["file"] != slot])
            older.unlink()
            entry = self._write(slot, state)
        self._write_manifest([entry, *(item for item in entries if item["file"] != slot)])

    def load(self) -> dict[str, Any] | None:
        """Return the newest undamaged state, or None; warns of each file that it skips.

        Raises OSError if the storage does not give a file: starting over would overwrite it.
        """
        not_given: OSError | None = None
        for entry in self._entries():
            path = self.directory / entry["file"]
            try:
                self._verify(path, entry)
                state = load_tensors(path)
            except (CheckpointError, OSError) as error:
                logger.warning("Passing over a checkpoint: %s", error)
                if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                    not_given = error
                continue
            assert isinstance(state, dict)
            return state
        if not_given is not None:
            raise not_given
        return None

    def discard(self) -> None:
        """Delete all checkpoints."""
        for name in (_MANIFEST, *_SLOTS):
            (self.directory / name).unlink(missing_ok=True)

    def _write(self, slot: str, state: dict[str, Any]) -> dict[str, Any]:
        digest: Any = _Digest()

        def write(file: BinaryIO) -> None:
            digest.file = file
            torch.save(state, digest)

        write_atomically(self.directory / slot, write)
        return {"file": slot, "sha256": digest.sha256.hexdigest(), "size": digest.size}

    def _write_manifest(self, entries: list[dict[str, Any]]) -> None:
        manifest = {"format": FORMAT, "checkpoints": entries}
        write_atomically(self.directory / _MANIFEST, json.dumps(manifest, indent=1))

    def _entries(self) -> list[dict[str, Any]]:
        """The manifest's entries, newest first; empty if it is missing or damaged."""
        path = self.directory / _MANIFEST
        try:
            text = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return []
        try:
            manifest = json.loads(text)
            if manifest["format"] > FORMAT:
                raise CheckpointError(
                    f"{path}: written by a newer version of this engine; use that, or start over"
                )
            return [
                {
                    "file": str(item["file"]),
                    "sha256": str(item["sha256"]),
                    "size": int(item["size"]),
                }
                for item in manifest["checkpoints"]
                if item["file"] in _SLOTS
            ]
        except CheckpointError:
            raise
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            logger.warning("%s: damaged (%s); its checkpoints cannot be trusted", path, error)
            return []

    def _verify(self, path: Path, entry: dict[str, Any]) -> None:
        if path.stat().st_size != entry["size"]:
            raise CheckpointError(f"{path}: has another size than when it was written")
        if sha256_of(path) != entry["sha256"]:
            raise CheckpointError(f"{path}: has changed since it was written")


def is_plain(value: Any) -> bool:
    """Whether `value` can be read back without running code."""
    if isinstance(value, dict):
        return all(isinstance(key, str | int) and is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(is_plain(item) for item in value)
    return value is None or type(value) in (bool, int, float, str) or isinstance(value, Tensor)


class _Digest:
    """Writes to a file and computes the size and SHA-256 of the data."""

    file: BinaryIO

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self.sha256.update(view)
        self.size += view.nbytes
        return self.file.write(view)

    def flush(self) -> None:
        self.file.flush()
