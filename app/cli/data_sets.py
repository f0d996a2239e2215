"""The data sets that a config names, and whether they fit its model."""

from functools import partial
from pathlib import Path

from app.cli.arguments import Options
from app.engine.config import CfgNode, class_section, num_classes
from app.engine.data.catalog import DATASETS, test_datasets, train_dataset
from app.engine.data.coco_dataset import load_coco
from app.engine.data.dataset import Dataset
from app.engine.errors import ConfigError


def training_set(cfg: CfgNode, options: Options) -> Dataset:
    """All of DATASETS.TRAIN, checked."""
    _require(cfg, "TRAIN")
    _register(options)
    dataset = train_dataset(cfg, options.data_root)
    check_classes(cfg, dataset, "TRAIN")
    return dataset


def test_sets(cfg: CfgNode, options: Options) -> dict[str, Dataset]:
    """Each of DATASETS.TEST by name, checked."""
    _register(options)
    datasets = test_datasets(cfg, options.data_root)
    for dataset in datasets.values():
        check_classes(cfg, dataset, "TEST")
    return datasets


def require_test_sets(cfg: CfgNode, options: Options) -> dict[str, Dataset]:
    """The same, at least one."""
    _require(cfg, "TEST")
    return test_sets(cfg, options)


def for_one(cfg: CfgNode, name: str) -> CfgNode:
    """`cfg` as if DATASETS.TEST named only this one: rules of evaluation depend on it."""
    own = cfg.clone()
    own.defrost()
    own.DATASETS.TEST = (name,)
    own.freeze()
    return own


def check_classes(cfg: CfgNode, dataset: Dataset, part: str) -> None:
    """ConfigError unless the model has as many outputs as the data set has classes."""
    architecture = cfg.MODEL.META_ARCHITECTURE
    wanted: dict[str, tuple[int, int]] = {}
    if architecture in ("SemanticSegmentor", "PanopticFPN"):
        stuff = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
        wanted["MODEL.SEM_SEG_HEAD.NUM_CLASSES"] = stuff, len(dataset.stuff_names)
    if architecture not in ("SemanticSegmentor", "ProposalNetwork"):
        key = f"MODEL.{class_section(cfg)}.NUM_CLASSES"
        wanted[key] = num_classes(cfg), len(dataset.class_names)
    if cfg.MODEL.KEYPOINT_ON:
        num_keypoints = cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS
        wanted["MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS"] = num_keypoints, len(dataset.keypoint_names)
    for key, (mine, theirs) in wanted.items():
        if mine != theirs:
            raise ConfigError(
                f"{key} is {mine}, but DATASETS.{part} {list(cfg.DATASETS[part])} has {theirs};"
                f" set {key} {theirs}, or choose other data"
            )


def _register(options: Options) -> None:
    for name, json_file, image_dir in options.coco:
        DATASETS[name] = partial(_load_own, json_file, image_dir)


def _load_own(json_file: Path, image_dir: Path, _root: Path) -> Dataset:
    return load_coco(json_file, image_dir)


def _require(cfg: CfgNode, part: str) -> None:
    if not cfg.DATASETS[part]:
        raise ConfigError(f"DATASETS.{part} is empty; name a data set, such as coco_2017_val")
