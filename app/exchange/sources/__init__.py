"""Sources: layouts in which labelled images arrive from labelling tools and other trainers.

A reader makes the engine's records; mistakes in files are counted in `Reading.problems`. What the
engine reads as well (COCO, VOC, YOLO) is read by its own readers.
"""

from app.engine.errors import DatasetError
from app.exchange.sources import coco, cvat, label_studio, labelme, photographs, voc, yolo
from app.exchange.sources._place import PREPARED, Place
from app.exchange.sources._source import Content, Request, Source, Split

__all__ = ["PREPARED", "SOURCES", "Content", "Place", "Request", "Source", "Split", "recognised"]

SOURCES: dict[str, Source] = {
    "coco": coco.SOURCE,
    "voc": voc.SOURCE,
    "yolo": yolo.SOURCE,
    "labelme": labelme.SOURCE,
    "cvat": cvat.SOURCE,
    "labelstudio": label_studio.SOURCE,
    "photographs": photographs.SOURCE,
}
"""Name of a layout -> its reader."""


def recognised(place: Place, *, option: str) -> tuple[str, str]:
    """Return the name of the place's layout and what shows it.

    option  the option that names a layout, for messages

    Raises DatasetError unless exactly one layout is recognised.
    """
    found = _signs(place, is_labelled=True) or _signs(place, is_labelled=False)
    if len(found) == 1:
        return next(iter(found.items()))
    if found:
        signs = " and ".join(f"{name}: {sign}" for name, sign in found.items())
        raise DatasetError(
            f"{place.root} may be read in several ways ({signs}); choose one with"
            f" {option} {' or '.join(found)}"
        )
    looked_for = ", ".join(source.looked_for for source in SOURCES.values())
    raise DatasetError(
        f"{place.root}: its layout is not known; it holds {len(place.files)} files,"
        f" {len(place.images)} of them images, but none of: {looked_for}; if it is one of them, say"
        f" so with {option} NAME ({', '.join(SOURCES)})"
    )


def _signs(place: Place, *, is_labelled: bool) -> dict[str, str]:
    """The layouts of one kind that the place may have, with what shows it."""
    sources = {n: source for n, source in SOURCES.items() if source.is_labelled == is_labelled}
    return {name: sign for name, source in sources.items() if (sign := source.recognise(place))}
