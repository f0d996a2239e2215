"""Find the file of a result, recognise what wrote it, and read it."""

import json
from pathlib import Path
from typing import Any

from app.engine.errors import DatasetError
from app.exchange.detected import DetectedSet
from app.exchange.results._boxes import read_boxes
from app.exchange.results._coco import read_dataset, read_results
from app.exchange.results._lines import read_lines
from common.text import printable

_NAMES = ("infer-result.json", "coco_instances_results.json")
_FOLDERS = (".", "detections")
_REMEDY = (
    "name the /out of an infer task, its infer-result.json, the output of `detex detect --json`, or"
    " coco_instances_results.json of `detex detect --config-file`"
)


def result_file(result: Path) -> Path:
    """Return the file of a result that is given as a file or a folder; DatasetError if none is."""
    if result.is_file():
        return result
    if not result.exists():
        raise DatasetError(f"{result}: there is no such file or folder; {_REMEDY}")
    for folder in _FOLDERS:
        for name in _NAMES:
            if (result / folder / name).is_file():
                return result / folder / name
    raise DatasetError(f"{result}: this folder holds no result; {_REMEDY}")


def read_result(path: Path) -> DetectedSet:
    """Read a file of detections; DatasetError names the place of what cannot be read."""
    content = _json(path)
    try:
        if isinstance(content, dict) and isinstance(content.get("detection"), dict):
            return read_boxes(content["detection"])
        if isinstance(content, dict) and {"images", "annotations", "categories"} <= set(content):
            return read_dataset(content)
        if isinstance(content, list) and content and all(map(_is_event, content)):
            return read_lines(content)
        if isinstance(content, list):
            return read_results(content, _json(path.with_name("image_info.json"), needed_by=path))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        if isinstance(error, DatasetError):
            raise
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DatasetError(
            f"{path}: an entry is not as infer or detect writes it ({printable(reason)}); {_REMEDY}"
        ) from error
    found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
    raise DatasetError(f"{path}: is no result ({printable(found[:100])}); {_REMEDY}")


def _is_event(line: object) -> bool:
    return isinstance(line, dict) and "event" in line


def _json(path: Path, needed_by: Path | None = None) -> Any:
    """The content of a JSON file, or the list of the lines of a file of JSON lines."""
    try:
        content = path.read_bytes()
        if content.startswith(b'{"event"'):
            return [json.loads(line) for line in content.splitlines()]
        return json.loads(content)
    except FileNotFoundError:
        what = "this file" if needed_by is None else f"it, with the names and sizes of {needed_by},"
        raise DatasetError(f"{path}: {what} is not there; {_REMEDY}") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); {_REMEDY}") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: is not JSON ({error}); {_REMEDY}") from error
