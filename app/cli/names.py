"""The names of a model's outputs, from the training data or from the model's config."""

import logging
from itertools import islice
from pathlib import Path

from app.cli.arguments import Options
from app.engine.checkpoint.files import read_checkpoint
from app.engine.checkpoint.load import named_classes
from app.engine.config import (
    CLASS_SECTIONS,
    CfgNode,
    class_section,
    load_config,
    num_classes,
)
from app.engine.config.rules import IDS
from app.engine.data.datasets.dataset import Dataset
from app.engine.data.datasets.renumber import Names, renumbered
from app.engine.errors import ConfigError
from app.engine.structures.class_names import match_names, plain_name
from app.engine.structures.coco_classes import COCO_CLASSES
from app.engine.trained.output_names import finds_classes, finds_stuff

logger = logging.getLogger(__name__)

_STUFF = "MODEL.SEM_SEG_HEAD.NUM_CLASSES"
_KEYPOINTS = "MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS"


def taught_by(cfg: CfgNode, options: Options, dataset: Dataset) -> tuple[CfgNode, Dataset]:
    """Return the config of a model for `dataset`, and the set with the model's class numbers.

    MODEL.CLASS_NAMES, if given, selects and orders the classes; else all classes of the set are
    used. If DATASETS.TRAIN names a set of --coco, the data decide the numbers of classes and
    keypoints. Raises ConfigError if settings contradict the data.
    """
    title = ", ".join(cfg.DATASETS.TRAIN)
    own = cfg.clone()
    own.defrost()
    if finds_classes(cfg):
        dataset = _in_given_classes(cfg, options, dataset, title)
        own.MODEL.CLASS_NAMES = list(dataset.class_names)
        own.MODEL.CATEGORY_IDS = list(dataset.category_ids)
    if finds_stuff(cfg):
        own.MODEL.STUFF_NAMES = list(dataset.stuff_names)
        own.MODEL.STUFF_IDS = list(dataset.stuff_ids)
    if cfg.MODEL.KEYPOINT_ON:
        own.MODEL.KEYPOINT_NAMES = list(dataset.keypoint_names)
    if any(name in cfg.DATASETS.TRAIN for name, *_ in options.coco):
        _take_numbers(own, options, dataset, title)
    own.freeze()
    check_numbers(own, dataset, title=title)
    if cfg.MODEL.MASK_ON and not any(record.segmentations for record in dataset.records):
        raise ConfigError(
            f"MODEL.MASK_ON is True, but no object of {title} has a mask; choose a model that finds"
            " boxes only, or other data"
        )
    return own, dataset


def _in_given_classes(cfg: CfgNode, options: Options, dataset: Dataset, title: str) -> Dataset:
    names = [str(name) for name in cfg.MODEL.CLASS_NAMES]
    if not names or names == dataset.class_names:
        return dataset
    if len(set(map(plain_name, names))) < len(names):
        raise ConfigError("MODEL.CLASS_NAMES names a class twice; give each its own name")
    matches = match_names(names, dataset.class_names)
    unknown = [name for name in dataset.class_names if matches[name].class_id is None]
    if unknown and not options.sets("MODEL.CLASS_NAMES"):
        raise ConfigError(
            f"{title} has classes that MODEL.CLASS_NAMES of {options.config_file} does not list"
            f' ({", ".join(unknown)}); add MODEL.CLASS_NAMES "{[*names, *unknown]}" to learn them,'
            f' MODEL.CLASS_NAMES "{names}" to leave them out, or MODEL.CLASS_NAMES "[]" to learn'
            " the data's classes alone"
        )
    return renumbered(dataset, Names(classes=names), title=title)


def _numbers(cfg: CfgNode, dataset: Dataset) -> dict[str, tuple[int, int, str]]:
    """Map each key to the number of outputs of the model, that of the data, and their kind."""
    found: dict[str, tuple[int, int, str]] = {}
    if finds_stuff(cfg):
        stuff = int(cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES)
        found[_STUFF] = stuff, len(dataset.stuff_names), "label maps"
    if finds_classes(cfg):
        key = f"MODEL.{class_section(cfg)}.NUM_CLASSES"
        found[key] = num_classes(cfg), len(dataset.class_names), "classes"
    if cfg.MODEL.KEYPOINT_ON:
        keypoints = int(cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS)
        found[_KEYPOINTS] = keypoints, len(dataset.keypoint_names), "named keypoints"
    return found


def _take_numbers(cfg: CfgNode, options: Options, dataset: Dataset, title: str) -> None:
    """Set the numbers of outputs to those of the data; ConfigError if that is refused."""
    for key, (mine, theirs, _) in _numbers(cfg, dataset).items():
        if theirs and mine != theirs and not options.sets(key):
            logger.info("%s is %d, from %s (the config file says %d)", key, theirs, title, mine)
            cfg.merge_from_list([key, theirs])
    if finds_classes(cfg):
        count = len(dataset.class_names)
        for section in CLASS_SECTIONS:
            key = f"MODEL.{section}.NUM_CLASSES"
            given = int(cfg.MODEL[section].NUM_CLASSES)
            if options.sets(key) and given != count:
                _refuse(key, given, count, title)
            cfg.MODEL[section].NUM_CLASSES = count
        logger.info("classes: %s", ", ".join(dataset.class_names))


def check_numbers(cfg: CfgNode, dataset: Dataset, *, title: str) -> None:
    """Raise ConfigError unless the model has as many outputs as the data set has classes."""
    for key, (mine, theirs, what) in _numbers(cfg, dataset).items():
        if not theirs:
            raise ConfigError(f"{title} has no {what}, which this model finds; choose other data")
        if mine != theirs:
            _refuse(key, mine, theirs, title)


def _refuse(key: str, mine: int, theirs: int, title: str) -> None:
    raise ConfigError(
        f"{key} is {mine}, but {title} has {theirs}; set {key} {theirs}, or choose other data"
    )


def with_known_names(cfg: CfgNode, weights: Path) -> CfgNode:
    """Return `cfg` with a trained model's class names, also if only the weights file has them."""
    names = [str(name) for name in cfg.MODEL.CLASS_NAMES]
    own = cfg.clone()
    own.defrost()
    if finds_classes(cfg) and not names:
        file = read_checkpoint(weights)
        names, ids = named_classes(file), file.extra.get("category_ids", [])
        if len(names) == num_classes(cfg):
            own.MODEL.CLASS_NAMES = names
            own.MODEL.CATEGORY_IDS = ids if IDS.allows(ids) and len(ids) == len(names) else []
    elif finds_classes(cfg) and len(names) != num_classes(cfg):
        raise ConfigError(
            f"MODEL.CLASS_NAMES has {len(names)} names, but the model has {num_classes(cfg)}"
            " classes; correct them"
        )
    own.freeze()
    return own


def coco_classes(cfg: CfgNode, options: Options) -> dict[int, str]:
    """Return ids and names of COCO's classes for an unnamed model that is most likely COCO's: its
    config file is for COCO and the number of classes is right. Else return nothing.
    """
    count = num_classes(cfg)
    if count != (1 if cfg.MODEL.KEYPOINT_ON else len(COCO_CLASSES)):
        return {}
    from_file = load_config(options.config_path)
    if not any("coco" in str(name) for name in from_file.DATASETS.TEST):
        return {}
    return dict(islice(COCO_CLASSES.items(), count))
