"""JSON files of labelling tools, read without trust in what they hold."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from app.engine.data.formats._text import decode, read_annotation
from app.engine.data.problems import Effect, Problems
from app.exchange.sources._drawings import Points

NO_JSON = "annotation file that is no valid JSON (left out)"


def read_json(path: Path, problems: Problems) -> Any:
    """The content of a file in any Unicode encoding; None, counted, if it cannot be read."""
    content = read_annotation(path, problems)
    if content is None:
        return None
    try:
        return json.loads(decode(content)[0])
    except (ValueError, RecursionError) as error:
        problems.add(NO_JSON, f"{path}: {error}", Effect.BROKEN)
        return None


def points_of(value: Any) -> Points | None:
    """(N, 2) finite numbers from a list of pairs; None for other values."""
    try:
        points = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        return None
    return points


def text_of(value: Any) -> str:
    """A text, or a number as text; '' for other values."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
