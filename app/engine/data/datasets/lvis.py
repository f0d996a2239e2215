"""LVIS v0.5 and v1: COCO's JSON with more classes, few of which are annotated in every image."""

from pathlib import Path

from app.engine.data.datasets.coco import coco_dataset, shape_errors
from app.engine.data.datasets.dataset import Dataset
from app.engine.data.formats import Reading
from app.engine.data.formats._coco_file import Entry, id_key, read_content, without_collecting


def load_lvis(json_path: Path, image_root: Path) -> Dataset:
    """Read an LVIS file; `image_root` contains train2017, val2017, ...

    Each record's `extra` has `neg_classes`, which are verified to be absent from the image, and
    `not_exhaustive_classes`, of which not all objects are annotated.
    """
    with shape_errors(json_path), without_collecting():
        return _lvis_dataset(read_content(json_path), json_path, image_root)


def _lvis_dataset(content: Entry, json_path: Path, image_root: Path) -> Dataset:
    for entry in content["images"] or []:
        entry["file_name"] = _file(entry)
    dataset = coco_dataset(content, json_path, image_root, Reading([]), is_published=True)
    classes = {category_id: i for i, category_id in enumerate(dataset.category_ids)}
    images = {id_key(entry["id"]): entry for entry in content["images"]}
    for record in dataset.records:
        entry = images[id_key(record.image_id)]
        for key in ("neg", "not_exhaustive"):
            ids = entry.get(f"{key}_category_ids", [])
            record.extra[f"{key}_classes"] = [classes[i] for i in ids if i in classes]
    # The file's own `name` has underscores; detectron2 shows the first synonym.
    synonyms = {id_key(c["id"]): c.get("synonyms") or [c["name"]] for c in content["categories"]}
    dataset.class_names = [str(synonyms[category_id][0]) for category_id in dataset.category_ids]
    frequency = {id_key(c["id"]): str(c.get("frequency", "f")) for c in content["categories"]}
    dataset.frequencies = [frequency[category_id] for category_id in dataset.category_ids]
    dataset.evaluation = "lvis"
    return dataset


def _file(entry: Entry) -> str:
    """Folder and name of an image from its URL, such as train2017/000000000009.jpg."""
    if "coco_url" in entry:
        return "/".join(str(entry["coco_url"]).split("/")[-2:])
    return str(entry["file_name"])
