"""Data sets by the names and in the folders that detectron2's configs use."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app.engine.config import CfgNode
from app.engine.config.unknown import did_you_mean
from app.engine.data.datasets.cityscapes import load_cityscapes_instances, load_cityscapes_semantic
from app.engine.data.datasets.coco import load_coco
from app.engine.data.datasets.concatenate import concatenate
from app.engine.data.datasets.dataset import Dataset
from app.engine.data.datasets.lvis import load_lvis
from app.engine.data.datasets.panoptic import load_panoptic, stuff_only
from app.engine.data.datasets.proposals import attach_proposals
from app.engine.data.datasets.voc import load_voc
from app.engine.errors import ConfigError

Load = Callable[[Path], Dataset]
"""Reads one data set, given the root folder of all data sets."""


def _coco(images: str, annotations: str) -> Load:
    return lambda root: load_coco(
        root / "coco/annotations" / f"{annotations}.json",
        root / "coco" / images,
        is_published=True,
    )


def _panoptic(images: str, split: str) -> Load:
    return lambda root: load_panoptic(
        root / "coco/annotations" / f"instances_{split}.json",
        root / "coco" / images,
        panoptic_json=root / "coco/annotations" / f"panoptic_{split}.json",
        panoptic_dir=root / "coco" / f"panoptic_{split}",
        semantic_dir=root / "coco" / f"panoptic_stuff_{split}",
    )


def _stuff_only(images: str, split: str) -> Load:
    load = _panoptic(images, split)
    return lambda root: stuff_only(load(root))


def _lvis(annotations: str) -> Load:
    return lambda root: load_lvis(root / "lvis" / f"{annotations}.json", root / "coco")


def _voc(year: int, split: str) -> Load:
    return lambda root: load_voc(root / f"VOC{year}", split)


def _cityscapes(load: Callable[[Path, Path], Dataset], split: str) -> Load:
    return lambda root: load(
        root / "cityscapes/leftImg8bit" / split, root / "cityscapes/gtFine" / split
    )


_COCO_SPLITS = {
    "coco_2014_train": ("train2014", "train2014"),
    "coco_2014_val": ("val2014", "val2014"),
    "coco_2014_minival": ("val2014", "minival2014"),
    "coco_2014_valminusminival": ("val2014", "valminusminival2014"),
    "coco_2017_train": ("train2017", "train2017"),
    "coco_2017_val": ("val2017", "val2017"),
    "coco_2017_val_100": ("val2017", "val2017_100"),
}
"""Name -> folder of images, ending of the annotation files."""

_LVIS_SPLITS = (
    "lvis_v1_train",
    "lvis_v1_val",
    "lvis_v0.5_train",
    "lvis_v0.5_val",
    "lvis_v0.5_val_rand_100",
    "lvis_v0.5_train_cocofied",
    "lvis_v0.5_val_cocofied",
)

_VOC_SPLITS = [
    (2007, "trainval"),
    (2007, "train"),
    (2007, "val"),
    (2007, "test"),
    (2012, "trainval"),
    (2012, "train"),
    (2012, "val"),
]


def _builtin() -> dict[str, Load]:
    found: dict[str, Load] = {}
    for name, (images, split) in _COCO_SPLITS.items():
        found[name] = _coco(images, f"instances_{split}")
        found[f"keypoints_{name}"] = _coco(images, f"person_keypoints_{split}")
        if "2017" in name:
            found[f"{name}_panoptic_separated"] = _panoptic(images, split)
            found[f"{name}_panoptic_stuffonly"] = _stuff_only(images, split)
    found["coco_2017_test"] = _coco("test2017", "image_info_test2017")
    found["coco_2017_test-dev"] = _coco("test2017", "image_info_test-dev2017")
    found |= {name: _lvis(name) for name in _LVIS_SPLITS}
    found |= {f"voc_{year}_{split}": _voc(year, split) for year, split in _VOC_SPLITS}
    for split in ("train", "val", "test"):
        instances = _cityscapes(load_cityscapes_instances, split)
        semantic = _cityscapes(load_cityscapes_semantic, split)
        found[f"cityscapes_fine_instance_seg_{split}"] = instances
        found[f"cityscapes_fine_sem_seg_{split}"] = semantic
    return found


DATASETS: dict[str, Load] = _builtin()
"""Name -> loader. Add a line to use your own in DATASETS.TRAIN and DATASETS.TEST."""


def load_dataset(name: str, root: Path, own: Mapping[str, Load] | None = None) -> Dataset:
    """Read the data set `name`; `root` is the folder with coco, lvis, VOC2007, cityscapes, ...

    `own` are the user's loaders; they override those of DATASETS.
    """
    known = {**DATASETS, **(own or {})}
    if name not in known:
        raise ConfigError(
            f"DATASETS: {name!r} is not known{did_you_mean(name, known)}; known are"
            f" {', '.join(known)}"
        )
    return known[name](root)


def train_dataset(cfg: CfgNode, root: Path, own: Mapping[str, Load] | None = None) -> Dataset:
    """All data sets of DATASETS.TRAIN as one, with the proposals of PROPOSAL_FILES_TRAIN."""
    names, files = cfg.DATASETS.TRAIN, cfg.DATASETS.PROPOSAL_FILES_TRAIN
    return _load_all(cfg, names, files, "TRAIN", root, own)


def evaluation_datasets(
    cfg: CfgNode, root: Path, own: Mapping[str, Load] | None = None
) -> dict[str, Dataset]:
    """The data sets of DATASETS.TEST by name, with the proposals of PROPOSAL_FILES_TEST."""
    files = cfg.DATASETS.PROPOSAL_FILES_TEST
    return {
        name: _load_all(cfg, [name], files[i : i + 1], "TEST", root, own)
        for i, name in enumerate(cfg.DATASETS.TEST)
    }


def _load_all(
    cfg: CfgNode,
    names: Sequence[str],
    files: Sequence[str],
    part: str,
    root: Path,
    own: Mapping[str, Load] | None,
) -> Dataset:
    datasets = [load_dataset(name, root, own) for name in names]
    if cfg.MODEL.LOAD_PROPOSALS:
        if len(files) != len(names):
            raise ConfigError(
                f"DATASETS.PROPOSAL_FILES_{part} needs one file for each of DATASETS.{part},"
                f" which lists {len(names)}; add them or set MODEL.LOAD_PROPOSALS to False"
            )
        for dataset, file in zip(datasets, files, strict=True):
            attach_proposals(dataset.records, Path(file))
    return concatenate(datasets, names)
