"""A folder of pictures with a page (index.html) and a contact sheet (sheet.jpg) of them."""

import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from app.engine.data.images.depth import UNDECIDED
from app.engine.data.images.reading import read_picture
from app.engine.data.problems import Effect, Problems
from app.engine.drawing import Marks, class_color, contact_sheet, draw
from app.engine.errors import ImageError
from common.files import write_atomically
from common.text import counted, printable

UNREADABLE = "image that cannot be read (left out)"
_QUALITY = 90
_CELL = (360, 480)
_MAX_CELLS = 64  # of the contact sheet

_STYLE = """
body { font: 15px/1.4 sans-serif; margin: 2em; color: #222; }
figure { display: inline-block; margin: 0 12px 16px 0; vertical-align: top; max-width: 400px; }
img { max-width: 400px; max-height: 400px; display: block; }
figcaption { font-size: 13px; overflow-wrap: anywhere; }
.class { border-radius: 3px; padding: 1px 6px; margin-right: 6px; }
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """An image to draw on.

    name      what is said below the picture
    marks     what is drawn with names
    labelled  what is drawn as dashed outlines, too
    """

    file: Path
    name: str
    marks: Marks
    labelled: Marks | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Pictures under one heading; `about` is the sentence below it."""

    title: str
    about: str
    images: Sequence[Shown]


@dataclass(slots=True)
class Gallery:
    """What was written: pictures by section, and what was left out."""

    folder: Path
    class_names: Sequence[str]
    problems: Problems = field(default_factory=Problems)
    pages: list[str] = field(default_factory=list)
    cells: list[Image.Image] = field(default_factory=list)
    num_pictures: int = 0

    def add(self, section: Section) -> None:
        """Draw a section's images."""
        figures = []
        for number, shown in enumerate(section.images, start=1):
            name = f"{section.title}/{number:04}_{_stem(shown.name)}.jpg"
            try:
                picture = self._draw(shown)
            except ImageError as error:
                self.problems.add(UNREADABLE, str(error), Effect.LEFT_OUT)
                continue
            _save(picture, self.folder / name)
            self.num_pictures += 1
            if len(self.cells) < _MAX_CELLS:
                picture.thumbnail((_CELL[1], _CELL[0]))
                self.cells.append(picture)
            figures.append(_figure(name, shown))
        heading = f"<h2>{html.escape(section.title)}</h2>\n<p>{html.escape(section.about)}</p>\n"
        self.pages.append(heading + "\n".join(figures))

    def write_pages(self, title: str) -> None:
        """Write index.html and sheet.jpg."""
        _save(contact_sheet(self.cells, cell=_CELL), self.folder / "sheet.jpg")
        classes = "".join(map(_class_tag, range(len(self.class_names)), self.class_names))
        parts = [f"<p>{classes}</p>", *self.pages]
        head = f"<!DOCTYPE html>\n<meta charset='utf-8'>\n<title>{html.escape(title)}</title>\n"
        body = f"<style>{_STYLE}</style>\n<h1>{html.escape(title)}</h1>\n" + "\n".join(parts)
        write_atomically(self.folder / "index.html", f"{head}{body}\n")

    def _draw(self, shown: Shown) -> Image.Image:
        # Without a model it is not known which value is white where images have more than 8 bits.
        picture, _ = read_picture(shown.file, "RGB", UNDECIDED)
        return draw(picture, shown.marks, self.class_names, labelled=shown.labelled)


def _save(picture: Image.Image, path: Path) -> None:
    content = io.BytesIO()
    picture.save(content, format="JPEG", quality=_QUALITY)
    write_atomically(path, content.getvalue())


def _stem(name: str) -> str:
    """Return the name of a file, at most 100 bytes long and without odd characters."""
    stem = printable(name.rsplit("/", 1)[-1].rpartition(".")[0] or name).replace("/", "_")
    return stem.encode("utf-8", "replace")[:100].decode("utf-8", "ignore")


def _figure(name: str, shown: Shown) -> str:
    objects = counted(len(shown.marks), "object")
    if shown.labelled is not None:
        objects += f", {len(shown.labelled)} labelled (dashed)"
    caption = f"{html.escape(printable(shown.name))}<br>{objects}"
    link = quote(name)
    return (
        f"<figure><a href='{link}'><img loading='lazy' src='{link}' alt=''></a>"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _class_tag(index: int, name: str) -> str:
    red, green, blue = class_color(index)
    style = f"background: rgb({red}, {green}, {blue})"
    return f"<span class='class' style='{style}'>{html.escape(printable(name))}</span>"
