"""Write the files of a task: images, annotations, index files, settings."""

from collections.abc import Sequence
from pathlib import Path

from app.exchange.prepare import first_config
from app.exchange.prepare.assets import place_images
from app.exchange.prepare.coco_file import write_coco
from app.exchange.prepare.data import SPLITS, Data
from app.exchange.prepare.request import PrepareRequest


def write_task(folder: Path, data: Data, request: PrepareRequest) -> int:
    """Write everything but the account; return the number of images that were copied."""
    assets = folder / "assets"
    if data.division is None:
        paths = [record.path for record in data.records]
        _write_index(folder / "candidate-index.tsv", data.names, "")
        (folder / "config.yaml").write_text(first_config.candidate_config(), encoding="utf-8")
        for task in ("mining", "infer"):
            text = first_config.environment(task)
            (folder / f"env-{task}.yaml").write_text(text, encoding="utf-8")
        return place_images(paths, data.names, assets)
    num_copies = 0
    (folder / "annotations").mkdir()
    for split in SPLITS:
        records, names = data.of(split), data.names_of(split)
        if split == "train" or records:
            num_copies += place_images([record.path for record in records], names, assets)
            annotation = f"annotations/{split}.json"
            write_coco(folder / annotation, records, names, data.reading.class_names)
            _write_index(folder / f"{split}-index.tsv", names, f"\t/in/{annotation}")
    config = first_config.training_config(request, data.of("train"), data.reading.class_names)
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    (folder / "env.yaml").write_text(first_config.environment("training"), encoding="utf-8")
    return num_copies


def _write_index(path: Path, names: Sequence[str], behind: str) -> None:
    lines = "".join(f"/in/assets/{name}{behind}\n" for name in names)
    path.write_bytes(lines.encode("utf-8", "surrogateescape"))
