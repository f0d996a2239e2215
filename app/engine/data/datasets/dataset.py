"""A data set: its records, and the names and ids of their classes."""

from dataclasses import dataclass, field
from typing import Literal

from app.engine.structures.record import ImageRecord

Evaluation = Literal["coco", "lvis", "voc", "cityscapes", "semantic", "panoptic"]
"""The benchmark whose evaluation is used."""


@dataclass(slots=True)
class Dataset:
    """Records with their classes.

    class_names     K names
    category_ids    the data set's own id of each class, for files in its format
    keypoint_names  names of an object's keypoints
    stuff_names     classes of `extra["sem_seg_path"]`, by value of the label map
    evaluation      the evaluation that the data set's authors use
    stuff_ids       the data set's own id of each stuff class from label 1 on (panoptic files)
    frequencies     'r', 'c' or 'f' of each class: rare, common, frequent (LVIS only)
    absent          classes of a model that the data set lacks; their category ids are made up
    """

    records: list[ImageRecord]
    class_names: list[str]
    category_ids: list[int] = field(default_factory=list)
    keypoint_names: tuple[str, ...] = ()
    stuff_names: list[str] = field(default_factory=list)
    evaluation: Evaluation = "coco"
    stuff_ids: list[int] = field(default_factory=list)
    frequencies: list[str] = field(default_factory=list)
    absent: frozenset[int] = frozenset()
