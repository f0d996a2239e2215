"""Decide once for a set whether the last row and column of VOC boxes belong to the object.

The platform writes the last pixel (inclusive), CVAT and Datumaro the edge after it (exclusive); the
files do not differ otherwise. One pixel may be a fifth of the area of a small object.
"""

from collections.abc import Sequence

from app.engine.data.formats._reading import Reading
from app.engine.data.formats._voc_file import VocFile
from app.engine.structures.size import Size

WHOLE = "VOC file with whole numbers in a set with fractions (taken as exclusive like the others)"
FRACTIONS = "VOC file with fractions where the training set has none (taken as inclusive like it)"
PLATFORM = "VOC file with the platform's marks among others (taken as inclusive)"


def inclusive_files(
    files: Sequence[VocFile], sizes: Sequence[Size], reading: Reading
) -> list[bool]:
    """Return whether the maxima of each file are inclusive; add a remark with the reason.

    sizes  (height, width) of each file's image
    """
    asked = reading.conventions.corners
    boxed = [file for file in files if file.num_corners]
    if asked != "auto":
        if boxed:
            _remark(reading, asked, "box_corners says so")
        return [asked == "inclusive"] * len(files)
    others = [file for file in boxed if not file.is_platforms]
    if not others:
        if boxed:
            _remark(
                reading, "inclusive", f"all {len(boxed)} files with boxes have the platform's marks"
            )
        return [True] * len(files)
    fractions = [file for file in others if file.has_fractions]
    earlier = reading.decisions.corners
    decided = earlier or ("exclusive" if fractions else "inclusive")
    reading.decisions.corners = decided
    why = "as in the training set" if earlier else _why(fractions, others, files, sizes)
    _remark(reading, decided, f"{why}; if that is wrong, set box_corners")
    _tell_mixture(boxed, decided, reading)
    return [file.is_platforms or decided == "inclusive" for file in files]


def _why(
    fractions: Sequence[VocFile],
    others: Sequence[VocFile],
    files: Sequence[VocFile],
    sizes: Sequence[Size],
) -> str:
    if fractions:
        share = f"{len(fractions)} of {len(others)} files"
        return f"{share} have fractions, as CVAT and Datumaro write them"
    touching = sum(
        file.num_touching(size)
        for file, size in zip(files, sizes, strict=True)
        if not file.is_platforms
    )
    boxes = sum(file.num_corners for file in others)
    sign = f"none of {len(others)} files with boxes has the platform's marks or fractions"
    if not touching:
        return f"{sign}, and no box goes further than the last pixel"
    return (
        f"{sign}, though {touching} of {boxes} boxes end at the width or height of their image, as"
        " exclusive ones and those counted from 1 do"
    )


def _tell_mixture(boxed: Sequence[VocFile], decided: str, reading: Reading) -> None:
    """Count the files that seem to have another writer than the rest of the set."""
    for file in boxed:
        if file.is_platforms:
            reading.problems.add(PLATFORM, str(file.path))
        elif decided == "inclusive" and file.has_fractions:
            reading.problems.add(FRACTIONS, str(file.path))
        elif decided == "exclusive" and not file.has_fractions:
            reading.problems.add(WHOLE, str(file.path))


def _remark(reading: Reading, corners: str, why: str) -> None:
    meaning = {
        "inclusive": "inclusive (the last pixels of the object)",
        "exclusive": "exclusive (the edges behind its last pixels)",
    }
    reading.remarks.append(f"xmax and ymax of VOC boxes are taken as {meaning[corners]}: {why}")
