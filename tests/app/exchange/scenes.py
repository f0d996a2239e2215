"""One small labelled data set, written by hand in every layout that `detex prepare` reads.

a.png  40 x 24: a cat, 4 6 20 18, and a dog, a triangle in 22 4 36 20
b.png  32 x 32: nothing
c.png  64 x 16: a cat, 10.5 2 30.5 14

Numbers were computed by hand, so the readers are not tested with writers of our own.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZES = {"a": (40, 24), "b": (32, 32), "c": (64, 16)}
TRIANGLE = [22.0, 4.0, 36.0, 4.0, 30.0, 20.0]
BOXES = {
    "a": [("cat", [4.0, 6.0, 20.0, 18.0]), ("dog", [22.0, 4.0, 36.0, 20.0])],
    "b": [],
    "c": [("cat", [10.5, 2.0, 30.5, 14.0])],
}


def paint(path: Path, size_wh: tuple[int, int], seed: int = 0, **options: Any) -> None:
    """Write an image of its own pattern, which no other seed's is like."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size_wh
    coarse = np.random.default_rng([seed, width]).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    image.save(path, **options)


def images(folder: Path) -> None:
    """Write the three images."""
    for seed, (name, size) in enumerate(SIZES.items()):
        paint(folder / f"{name}.png", size, seed)


def coco(folder: Path) -> None:
    """One file in annotations/, images in a folder of their own."""
    images(folder / "photos")
    (folder / "annotations").mkdir()
    content = {
        "images": [
            {"id": i, "file_name": f"{name}.png", "width": width, "height": height}
            for i, (name, (width, height)) in enumerate(SIZES.items())
        ],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 7, "bbox": [4, 6, 16, 12]},
            {
                "id": 2,
                "image_id": 0,
                "category_id": 3,
                "bbox": [22, 4, 14, 16],
                "segmentation": [TRIANGLE],
            },
            {"id": 3, "image_id": 2, "category_id": 7, "bbox": [10.5, 2, 20, 12]},
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
    }
    (folder / "annotations/instances.json").write_text(json.dumps(content))


def voc(folder: Path) -> None:
    """JPEGImages and Annotations without lists; the fractions say that maxima are exclusive."""
    images(folder / "JPEGImages")
    (folder / "Annotations").mkdir()
    for name, (width, height) in SIZES.items():
        objects = "".join(
            f"<object><name>{label}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
            f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
            for label, (x0, y0, x1, y1) in BOXES[name]
        )
        (folder / f"Annotations/{name}.xml").write_text(
            f"<annotation><filename>{name}.png</filename><size><width>{width}</width>"
            f"<height>{height}</height></size>{objects}</annotation>"
        )


def yolo(folder: Path) -> None:
    """images/ and labels/ with a data.yaml; b.png has no label file."""
    images(folder / "images")
    (folder / "labels").mkdir()
    (folder / "labels/a.txt").write_text(
        "0 0.3 0.5 0.4 0.5\n1 0.55 0.16666666667 0.9 0.16666666667 0.75 0.83333333333\n"
    )
    (folder / "labels/c.txt").write_text("0 0.3203125 0.5 0.3125 0.75\n")
    (folder / "data.yaml").write_text("train: images\nnames: [cat, dog]\n")


def labelme(folder: Path) -> None:
    """A JSON file beside each image."""
    images(folder)
    shapes: dict[str, list[dict[str, Any]]] = {
        "a": [
            {"label": "cat", "shape_type": "rectangle", "points": [[20, 18], [4, 6]]},
            {"label": "dog", "shape_type": "polygon", "points": [[22, 4], [36, 4], [30, 20]]},
        ],
        "b": [],
        "c": [{"label": "cat", "shape_type": "rectangle", "points": [[10.5, 2], [30.5, 14]]}],
    }
    for name, (width, height) in SIZES.items():
        content = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes[name],
            "imagePath": f"{name}.png",
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        (folder / f"{name}.json").write_text(json.dumps(content))


def cvat(folder: Path) -> None:
    """CVAT for images 1.1."""
    images(folder / "images")
    (folder / "annotations.xml").write_text(
        "<?xml version='1.0' encoding='utf-8'?><annotations><version>1.1</version><meta><task>"
        "<labels><label><name>cat</name></label><label><name>dog</name></label></labels></task>"
        "</meta><image id='0' name='a.png' width='40' height='24'>"
        "<box label='cat' xtl='4' ytl='6' xbr='20' ybr='18' occluded='0'/>"
        "<polygon label='dog' points='22.00,4.00;36.00,4.00;30.00,20.00' occluded='0'/></image>"
        "<image id='1' name='b.png' width='32' height='32'/>"
        "<image id='2' name='c.png' width='64' height='16'>"
        "<box label='cat' xtl='10.5' ytl='2' xbr='30.5' ybr='14' occluded='0'/></image>"
        "</annotations>"
    )


def region(kind: str, name: str, **value: Any) -> dict[str, Any]:
    """One result of Label Studio."""
    return {
        "id": name,
        "type": kind,
        "value": {**value, kind: [name]},
        "original_width": 1,
        "original_height": 1,
        "from_name": "label",
        "to_name": "image",
    }


def label_studio(folder: Path) -> None:
    """The JSON export, whose images have the hash of an upload in front of their names."""
    images(folder / "images")
    results = {
        "a": [
            region("rectanglelabels", "cat", x=10, y=25, width=40, height=50, rotation=0),
            region("polygonlabels", "dog", points=[[55, 100 / 6], [90, 100 / 6], [75, 250 / 3]]),
        ],
        "b": [],
        "c": [region("rectanglelabels", "cat", x=16.40625, y=12.5, width=31.25, height=75)],
    }
    tasks = [
        {
            "id": number,
            "data": {"image": f"/data/upload/3/0a1b2c3d-{name}.png"},
            "annotations": [{"id": number, "was_cancelled": False, "result": results[name]}],
        }
        for number, name in enumerate(SIZES)
    ]
    (folder / "export.json").write_text(json.dumps(tasks))


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "coco": coco,
    "voc": voc,
    "yolo": yolo,
    "labelme": labelme,
    "cvat": cvat,
    "labelstudio": label_studio,
}
"""Name of a layout -> function that writes the data set into a folder."""
