"""Index files: what they name is not there, is named in an odd way, or is paired wrongly."""

from collections import Counter
from collections.abc import Iterator

from app.check._finding import Finding, Severity
from app.check._subject import ImageSet, Subject

_SOME = 0.1
_FEWEST = 2


def look(subject: Subject) -> Iterator[Finding]:
    """What was found while the index files were read, and images beside labels of others."""
    for image_set in subject.sets:
        yield from image_set.findings
        yield from _mispaired(image_set)


def _mispaired(image_set: ImageSet) -> Iterator[Finding]:
    """Annotation files whose names are those of other images of the set."""
    pairs = [
        (asset.image, annotation)
        for asset in image_set.assets
        if (annotation := asset.annotation) is not None
    ]
    own = {image.stem for image, _ in pairs}
    files = Counter(annotation for _, annotation in pairs)  # a COCO file belongs to many images
    wrong = [
        (image, annotation)
        for image, annotation in pairs
        if annotation.stem != image.stem and annotation.stem in own and files[annotation] == 1
    ]
    if len(wrong) < max(_FEWEST, _SOME * len(pairs)):
        return
    image, annotation = wrong[0]
    yield Finding(
        Severity.WARNING,
        f"{image_set.name} set: {len(wrong)} of {len(pairs)} lines pair an image with the"
        f" annotation of another, for example {image.name} with {annotation.name}",
        image_set.place,
        "pair each image with the annotation file of its own name",
    )
