"""The data sets of a run: their purposes, their loading and their class numbers."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from app.cli.arguments import Options
from app.cli.names import check_numbers, coco_classes
from app.engine.config import CfgNode, num_classes
from app.engine.config.unknown import did_you_mean
from app.engine.data.datasets.catalog import DATASETS, Load, evaluation_datasets, train_dataset
from app.engine.data.datasets.coco import load_coco
from app.engine.data.datasets.dataset import Dataset
from app.engine.data.datasets.renumber import renumbered
from app.engine.data.formats import Conventions
from app.engine.errors import ConfigError
from app.engine.trained.output_names import finds_classes, model_names

logger = logging.getLogger(__name__)

_FOR_TRAINING = re.compile(r"(^|[^a-z])(train|training)([^a-z]|$)", re.IGNORECASE)
_FOR_TESTING = re.compile(r"(^|[^a-z])(val|valid|validation|dev|test)([^a-z]|$)", re.IGNORECASE)


def assign(cfg: CfgNode, options: Options) -> None:
    """Assign the sets of --coco to DATASETS.TRAIN and DATASETS.TEST of `cfg`.

    A list that the command line sets is kept, and so is a list of the config file that names a set
    of --coco. Of the remaining sets, `train` trains on the first and evaluates the others; every
    other verb evaluates all sets that DATASETS.TRAIN does not name.
    """
    own = [name for name, *_ in options.coco]
    if not own:
        return
    train, test = list(cfg.DATASETS.TRAIN), list(cfg.DATASETS.TEST)
    train_stays = options.sets("DATASETS.TRAIN") or bool(set(train) & set(own))
    test_stays = options.sets("DATASETS.TEST") or bool(set(test) & set(own))
    if options.verb == "train":
        taken = {*(train if train_stays else ()), *(test if test_stays else ())}
        free = [name for name in own if name not in taken]
        if not train_stays and not test_stays:
            _refuse_wrong_order(free)
        if not train_stays and (free or options.data is None):
            train = (free if test_stays else free[:1]) or own
            free = [name for name in free if name not in train]
        if not test_stays and (free or set(train) & set(own)):
            test = free
    elif options.sets("DATASETS.TEST"):
        pass
    elif test_stays:
        test = [name for name in test if name in own]
        test += [name for name in own if name not in (*train, *test)]
    else:
        test = [name for name in own if name not in train] or own
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = tuple(train), tuple(test)
    _tell(cfg, options, own)


def _refuse_wrong_order(own: Sequence[str]) -> None:
    later = next((name for name in own[1:] if _FOR_TRAINING.search(name)), None)
    if later is not None and _FOR_TESTING.search(own[0]) and not _FOR_TRAINING.search(own[0]):
        raise ConfigError(
            f"--coco {own[0]} stands first, and the first one is learnt from; put --coco {later}"
            f" first, or add DATASETS.TRAIN \"('{later}',)\""
        )


def _tell(cfg: CfgNode, options: Options, own: Sequence[str]) -> None:
    train, test = cfg.DATASETS.TRAIN, cfg.DATASETS.TEST
    unused = [name for name in own if name not in test]
    if options.verb == "train":
        logger.info(
            "data sets: %s to learn from, %s to measure on",
            ", ".join(train),
            ", ".join(test) or "none",
        )
        unused = [name for name in unused if name not in train]
    elif options.verb == "evaluate":
        logger.info("data sets: %s to measure on", ", ".join(test))
    if unused:
        logger.warning(
            "--coco %s is not used: DATASETS.* name other data sets", ", --coco ".join(unused)
        )


def training_set(cfg: CfgNode, options: Options) -> Dataset:
    """Load all of DATASETS.TRAIN, with the class numbers of the first set."""
    _require(cfg, "TRAIN")
    return train_dataset(cfg, options.data_root, _own(cfg, options, "TRAIN"))


def test_sets(cfg: CfgNode, options: Options) -> dict[str, Dataset]:
    """Load DATASETS.TEST by name, in the model's class numbers; ConfigError if one does not fit."""
    datasets = evaluation_datasets(cfg, options.data_root, _own(cfg, options, "TEST"))
    names = model_names(cfg)
    if not names.classes and finds_classes(cfg):
        names = replace(names, classes=_guessed_names(cfg, options, datasets))
    for name, dataset in datasets.items():
        datasets[name] = renumbered(dataset, names, title=name)
        check_numbers(cfg, datasets[name], title=name)
    return datasets


def _guessed_names(
    cfg: CfgNode, options: Options, datasets: Mapping[str, Dataset]
) -> Sequence[str]:
    """Return class names for a model without names; none if only their number is known."""
    others = [n for n, d in datasets.items() if len(d.class_names) != num_classes(cfg)]
    names = list(coco_classes(cfg, options).values())
    if others and names:
        logger.info("classes: COCO's %d, by the config file; the model names none", len(names))
        return names
    if set(datasets) & {name for name, *_ in options.coco}:
        logger.warning(
            "classes: the model names none, so they are taken to be the data set's, in the order"
            " of its ids; give their names in the model's order as MODEL.CLASS_NAMES to make sure"
        )
    return ()


def require_test_sets(cfg: CfgNode, options: Options) -> dict[str, Dataset]:
    """Return `test_sets`; ConfigError if there are none."""
    _require(cfg, "TEST")
    return test_sets(cfg, options)


def for_one(cfg: CfgNode, name: str) -> CfgNode:
    """Return `cfg` with only this set in DATASETS.TEST, on which evaluation rules depend."""
    return cfg.with_values({"DATASETS.TEST": (name,)})


def _own(cfg: CfgNode, options: Options, part: str) -> dict[str, Load]:
    """Return the loaders of --coco; ConfigError if the config names an unknown set."""
    own = {name: _loader(cfg, name, json, images) for name, json, images in options.coco}
    for name in cfg.DATASETS[part]:
        if name not in own and name not in DATASETS:
            raise ConfigError(
                f"DATASETS.{part} names {name!r}, which is no known data set"
                f"{did_you_mean(name, [*own, *DATASETS])}; if it is your own, add"
                f" --coco {name} JSON IMAGES; known are {', '.join([*own, *DATASETS])}"
            )
    return own


def _loader(cfg: CfgNode, name: str, json_file: Path, image_dir: Path) -> Load:
    return lambda root: load_coco(
        json_file,
        image_dir,
        name=name,
        conventions=Conventions(cfg.DATASETS.ANNOTATED_FRAME),
        accepted_smells=cfg.DATASETS.ACCEPTED_SMELLS,
    )


def _require(cfg: CfgNode, part: str) -> None:
    if not cfg.DATASETS[part]:
        raise ConfigError(
            f"DATASETS.{part} is empty; name a data set, such as coco_2017_val, or add"
            " --coco NAME JSON IMAGES"
        )
