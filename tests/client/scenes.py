"""A small detection data set of coloured shapes, as a user of the platform would upload it.

`python scenes.py FOLDER` writes `<split>/images`, `<split>/gt` (PASCAL VOC, inclusive pixels) and
`<split>/index.tsv` for train, val and candidates, and `truth.json`: what is in each candidate.
Among the files: a name with a space, PNG, BMP and grey images, images without annotation file, and
annotation files without objects. Deterministic; needs Pillow only.
"""

import json
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = {"red_box": (220, 30, 30), "green_disc": (30, 200, 60), "blue_tri": (40, 60, 220)}
SIZES = ((160, 120), (120, 160), (200, 150))
Object = tuple[str, tuple[int, int, int, int]]


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    rng = random.Random(7)
    write_split(folder / "train", 36, rng, extensions=("jpg", "jpg", "png", "jpg", "bmp"))
    write_split(folder / "val", 8, rng, extensions=("jpg",))
    truth = write_split(folder / "candidates", 8, rng, extensions=("jpg", "jpg", "png"))
    (folder / "truth.json").write_text(json.dumps(truth), encoding="utf-8")


def write_split(
    folder: Path, count: int, rng: random.Random, *, extensions: tuple[str, ...]
) -> dict[str, list[Object]]:
    """`count` images with 1 to 4 shapes each; the objects of every file, by file name."""
    for name in ("images", "gt"):
        (folder / name).mkdir(parents=True)
    truth: dict[str, list[Object]] = {}
    for i in range(count):
        separator = " " if i == 0 else "_"
        path = folder / "images" / f"{folder.name}{separator}{i}.{extensions[i % len(extensions)]}"
        size = rng.choice(SIZES)
        empty = folder.name != "candidates" and i in (1, 2)
        truth[path.name] = [] if empty else place_objects(rng, 1 + i % 4, size)
        image = draw(truth[path.name], size, tuple(rng.randrange(70, 180) for _ in range(3)))
        (image.convert("L") if folder.name == "train" and i == 1 else image).save(path)
        if i != 1 or not empty:  # the other empty image has an annotation file without objects
            voc = folder / "gt" / f"{path.stem}.xml"
            voc.write_text(voc_text(path.name, size, truth[path.name]), encoding="utf-8")
    files = [folder / "images" / name for name in truth]
    (folder / "index.tsv").write_text("".join(f"{file}\n" for file in files), encoding="utf-8")
    return truth


def place_objects(rng: random.Random, count: int, size: tuple[int, int]) -> list[Object]:
    """Shapes that do not overlap."""
    objects: list[Object] = []
    while len(objects) < count:
        width, height = rng.randrange(24, 56), rng.randrange(24, 52)
        x, y = rng.randrange(0, size[0] - width), rng.randrange(0, size[1] - height)
        box = (x, y, x + width - 1, y + height - 1)
        if all(apart(box, other) for _, other in objects):
            objects.append((rng.choice(list(COLOURS)), box))
        elif rng.random() < 0.01:  # no room left
            break
    return objects


def apart(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def draw(objects: list[Object], size: tuple[int, int], background: tuple[int, ...]) -> Image.Image:
    image = Image.new("RGB", size, background)  # type: ignore[arg-type]
    pen = ImageDraw.Draw(image)
    for name, (x0, y0, x1, y1) in objects:
        if name == "red_box":
            pen.rectangle((x0, y0, x1, y1), fill=COLOURS[name])
        elif name == "green_disc":
            pen.ellipse((x0, y0, x1, y1), fill=COLOURS[name])
        else:
            pen.polygon([(x0, y1), (x1, y1), ((x0 + x1) // 2, y0)], fill=COLOURS[name])
    return image


def voc_text(file_name: str, size: tuple[int, int], objects: list[Object]) -> str:
    found = "".join(
        f"<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{x0}</xmin>"
        f"<ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for name, (x0, y0, x1, y1) in objects
    )
    return (
        f"<annotation><filename>{file_name}</filename><size><width>{size[0]}</width>"
        f"<height>{size[1]}</height><depth>3</depth></size>{found}</annotation>"
    )


if __name__ == "__main__":
    main()
