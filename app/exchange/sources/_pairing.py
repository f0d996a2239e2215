"""Find the image of an annotation file that has the same name, whatever folders the two lie in."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from app.engine.data.formats._coco_names import has_image_suffix
from app.engine.data.problems import Effect, Problems
from app.exchange.sources._place import Place

NO_IMAGE = "annotation file whose image is not there (left out)"
SEVERAL_IMAGES = "annotation file whose name several images have (left out)"
SEVERAL_FILES = "further annotation file of an image (not used)"

_ROLES = {
    *(
        "annotations",
        "annotation",
        "anns",
        "ann",
        "labels",
        "label",
        "xml",
        "xmls",
        "json",
        "jsons",
    ),
    *("jpegimages", "images", "image", "imgs", "img", "photos", "pictures", "data"),
}
"""Folders that say what kind of file lies in them, not which one."""

Key = tuple[str, ...]


class ImageFinder:
    """Finds images by the names of their annotation files."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._by_key: dict[Key, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for image in place.images:
            self._by_key[_key(image, place)].append(image)
            self._by_stem[image.stem].append(image)

    def find(self, annotation: Path, said: Callable[[], str]) -> list[Path]:
        """The images that fit equally well, usually one.

        The image of `a/labels/1.xml` is `a/images/1.jpg`, else the only image called 1, else the
        one whose name the file itself contains.

        said  returns that name; '' if the file has none
        """
        fitting = self._by_key.get(_key(annotation, self._place)) or self._by_stem.get(
            _stem(annotation), []
        )
        if len(fitting) == 1:
            return fitting
        name = said()
        if fitting:
            return [path for path in fitting if path.name == name] or fitting
        return self._place.images_by_name.get(name, [])


def pairs(
    candidates: Iterable[tuple[Path, list[Path]]], place: Place, problems: Problems
) -> list[tuple[Path, Path]]:
    """Return (image, annotation) pairs, each image once; count what has no partner.

    candidates  annotation files with the images that fit them
    """
    found: dict[Path, Path] = {}
    for annotation, images in candidates:
        where = place.shown(annotation)
        if not images:
            problems.add(NO_IMAGE, where, Effect.BROKEN)
        elif len(images) > 1:
            both = " and ".join(place.shown(image) for image in images[:2])
            problems.add(SEVERAL_IMAGES, f"{where}: {both}", Effect.BROKEN)
        elif images[0] in found:
            told = f"{where}; {place.shown(found[images[0]])} has {place.shown(images[0])}, too"
            problems.add(SEVERAL_FILES, told)
        else:
            found[images[0]] = annotation
    return list(found.items())


def _key(path: Path, place: Place) -> Key:
    """The folders that say which file it is, and its name without suffix."""
    folders = place.parts(path)[:-1]
    return (*(part for part in folders if part.lower() not in _ROLES), _stem(path))


def _stem(path: Path) -> str:
    """The name without its suffix; `1.jpg.xml` is called 1, too."""
    return Path(path.stem).stem if has_image_suffix(path.stem) else path.stem
