"""python -m verification.near_duplicates NAME=FOLDER ...: how well near-duplicates are found.

Every image of a folder is copied in the ways of COPIES, and a row tells for each way which share of
the copies is found. `merged` counts the images of the folder itself that are in a group (true
near-duplicates among them, too), and pairs of an image with a copy of an image of another group.
Rows are added to verification/near_duplicates.jsonl and printed as lines of a table.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.engine.data.images.decoding import image_suffixes
from app.engine.data.near_duplicates import (
    MAX_DIFFERING,
    MIN_COSINE,
    NUM_BITS,
    Embeddings,
    embed,
    groups_of,
)
from verification.json_lines import append

RECORDS = Path(__file__).with_suffix(".jsonl")

Copy = Callable[[Image.Image, Path, random.Random], None]


def _half(image: Image.Image, path: Path, _: random.Random) -> None:
    smaller = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    smaller.save(path, "JPEG", quality=90)


def _cropped(image: Image.Image, rng: random.Random) -> Image.Image:
    """Cut 2 % of width and height off at one corner."""
    width, height = round(image.width * 0.98), round(image.height * 0.98)
    x, y = rng.choice((0, image.width - width)), rng.choice((0, image.height - height))
    return image.crop((x, y, x + width, y + height))


def _crop(image: Image.Image, path: Path, rng: random.Random) -> None:
    _cropped(image, rng).save(path, "JPEG", quality=90)


def _frame_cut_off(image: Image.Image, path: Path, _: random.Random) -> None:
    x, y = round(image.width * 0.02), round(image.height * 0.02)
    image.crop((x, y, image.width - x, image.height - y)).save(path, "JPEG", quality=90)


def _everything(image: Image.Image, path: Path, rng: random.Random) -> None:
    small = _cropped(image, rng).resize((image.width // 2, image.height // 2))
    small.save(path, "JPEG", quality=50)


COPIES: dict[str, Copy] = {
    "PNG": lambda image, path, _: image.save(path, "PNG", compress_level=1),
    "WebP": lambda image, path, _: image.save(path, "WEBP", method=0),
    "half the size": _half,
    "JPEG quality 50": lambda image, path, _: image.save(path, "JPEG", quality=50),
    "2 % crop": _crop,
    "2 % off every side": _frame_cut_off,
    "crop, half, quality 50": _everything,
}


def main() -> None:
    """Measure every folder."""
    options = argparse.ArgumentParser(prog="python -m verification.near_duplicates")
    options.add_argument("sets", nargs="+", metavar="NAME=FOLDER", help="a folder of images")
    for argument in options.parse_args().sets:
        name, _, folder = argument.partition("=")
        record = measure(name, Path(folder))
        append(RECORDS, record)
        print(row(record), flush=True)


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Plant copies of all images of a folder and look for them."""
    suffixes = image_suffixes()
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    started = time.monotonic()
    originals = embed(paths)
    groups = groups_of(originals)
    seconds = time.monotonic() - started
    recall, lowest, confused = {}, 1.0, 0
    group_of = {index: number for number, group in enumerate(groups) for index in group}
    for kind, copy in COPIES.items():
        copies = _planted(paths, copy)
        found = alike(originals, copies)
        recall[kind] = float(np.diagonal(found).mean())
        cosines = (originals.vectors * copies.vectors).sum(axis=1)
        lowest = min(lowest, float(cosines.min()))
        confused += sum(
            i != j and group_of.get(i, -1) != group_of.get(j, -2)
            for i, j in np.argwhere(found).tolist()
        )
    own = originals.vectors @ originals.vectors.T
    for group in groups:
        own[np.ix_(group, group)] = 0
    np.fill_diagonal(own, 0)
    return {
        "set": name,
        "images": len(paths),
        "min_cosine": MIN_COSINE,
        "max_differing": MAX_DIFFERING,
        "recall": {kind: round(share, 4) for kind, share in recall.items()},
        "lowest_cosine_of_a_copy": round(lowest, 3),
        "highest_cosine_of_others": round(float(own.max(initial=0)), 3),
        "groups": [[paths[index].name for index in group] for group in groups],
        "merged": sum(map(len, groups)),
        "confused": confused,
        "seconds_per_1000": round(1000 * seconds / max(len(paths), 1), 2),
    }


def alike(first: Embeddings, second: Embeddings) -> Any:
    """Which images are near-duplicates, by the definition alone: (N, M) bool."""
    differing = np.stack(
        [np.bitwise_count(row ^ second.hashes).sum(axis=1, dtype=int) for row in first.hashes]
    )
    close = first.vectors @ second.vectors.T >= MIN_COSINE
    return close & (differing <= MAX_DIFFERING * NUM_BITS)


def row(record: dict[str, Any]) -> str:
    """A line of the table of docs/data.md."""
    recall = [f"{100 * share:.1f} %" for share in record["recall"].values()]
    others = [
        f"{record['lowest_cosine_of_a_copy']:.3f}",
        f"{record['highest_cosine_of_others']:.3f}",
        f"{record['merged'] + record['confused']}",
        f"{record['seconds_per_1000']:.1f} s",
    ]
    return f"| {' | '.join([record['set'], str(record['images']), *recall, *others])} |"


def _planted(paths: Sequence[Path], copy: Copy) -> Embeddings:
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        copies = []
        for number, path in enumerate(paths):
            copies.append(Path(folder) / str(number))
            with Image.open(path) as image:
                copy(image.convert("RGB"), copies[-1], rng)
        return embed(copies)


if __name__ == "__main__":
    main()
