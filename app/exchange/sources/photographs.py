"""A folder of photographs without annotations, for mining and infer."""

from app.engine.data.datasets.coco import empty_record
from app.engine.data.formats._records import readable_pairs
from app.exchange.sources._place import Place
from app.exchange.sources._source import Content, Request, Source, renumbered

_ANNOTATIONS = (".xml", ".json")


def _recognise(place: Place) -> str:
    stems = {image.stem for image in place.images}
    labels = [path for path in place.with_suffix(".txt") if path.stem in stems]
    if not place.images or labels or place.with_suffix(*_ANNOTATIONS):
        return ""
    return f"{len(place.images)} images and no annotation files"


def _read(request: Request) -> Content:
    reading = request.reading()
    pairs = [(image, image) for image in request.place.images]
    found = readable_pairs(pairs, reading.problems)
    records = renumbered([empty_record(image, header.size, 0) for image, _, header in found])
    return Content(records, reading)


SOURCE = Source(
    recognise=_recognise,
    read=_read,
    looked_for="photographs (images without .xml, .json and .txt files for them)",
    is_labelled=False,
)
