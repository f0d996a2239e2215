"""What the checks look at: settings, the engine's config and the image sets of a task's folder.

Everything is read at its first use and by the code that the task reads it with.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.check._finding import Finding, warnings_as_findings
from app.engine.config import CfgNode, set_classes
from app.tasks.args_options import EngineOptions, parse_args_options
from app.tasks.config_file import check_model, named_config
from executor.dataset_reader import (
    Asset,
    read_training_index,
    read_val_index,
    require_files,
)
from executor.env import Env, load_env
from executor.errors import DatasetError
from executor.hyperparameters import TrainHyperparameters, load_hyperparameters
from executor.task_words import Task

if TYPE_CHECKING:
    from app.engine.data.formats import Decisions
    from app.engine.structures.record import ImageRecord
    from app.tasks.records import ParsedSet


@dataclass(frozen=True)
class ImageSet:
    """The training or the validation set.

    index     its index file; None if env.yaml names none
    parsed    what its files say; None if it has no images, or if they cannot be looked at
    assets    the lines of the index
    findings  what was found while the index was read and the files were looked for
    """

    name: str
    index: Path | None
    parsed: "ParsedSet | None"
    assets: list[Asset] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The index, as a place of findings."""
        return str(self.index or self.name)

    @property
    def records(self) -> "list[ImageRecord]":
        """The images that the task would use."""
        return [] if self.parsed is None else self.parsed.records


@dataclass(frozen=True)
class Subject:
    """A task's folder.

    env_file  where its env.yaml is, or would be
    deep      whether every image is decoded
    measure   whether a few iterations are run
    progress  is called with the share of the current check that is done, and what is done
    found     all findings so far
    remarks   what is as it should be and worth a line, such as the weights to start from
    """

    env_file: Path
    deep: bool = False
    measure: bool = False
    progress: Callable[[float, str], None] = lambda fraction, what: None
    found: list[Finding] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @cached_property
    def env(self) -> Env:
        """The run that env.yaml describes; ConfigError."""
        return load_env(self.env_file)

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks that it asks for; ConfigError."""
        return self.env.require_tasks()

    @property
    def trains(self) -> bool:
        """Whether the task is a training; all others look at candidates."""
        return Task.TRAINING in self.tasks

    @cached_property
    def hp(self) -> TrainHyperparameters:
        """The settings of a training."""
        return load_hyperparameters(self.env.input.config_file, TrainHyperparameters)

    @cached_property
    def options(self) -> EngineOptions:
        """`args_options` of a training."""
        return parse_args_options(self.hp.args_options)

    @cached_property
    def cfg(self) -> CfgNode:
        """The model of a training."""
        cfg = named_config(self.hp, self.options)
        set_classes(cfg, self.hp.class_names)
        check_model(cfg, self.hp.object_type)
        return cfg

    @cached_property
    def settings_file(self) -> str:
        """config.yaml, as a place of findings."""
        return self.env.input.config_file.name

    @property
    def has_objects(self) -> bool:
        """Whether there is a training set with objects that no earlier check found to be wrong."""
        is_wrong = any(finding.status == DatasetError.exit_status for finding in self.found)
        return bool(self.sets) and not is_wrong and any(map(len, self.training.records))

    @cached_property
    def sets(self) -> list[ImageSet]:
        """The training and the validation set of a training; nothing for other tasks."""
        return list(self._read_sets()) if self.trains else []

    @property
    def training(self) -> ImageSet:
        """The training set."""
        return self.sets[0]

    @property
    def validation(self) -> ImageSet:
        """The validation set, which may be empty."""
        return self.sets[1]

    def _read_sets(self) -> Iterator[ImageSet]:
        from app.engine.data.formats import Conventions, Decisions

        inputs = self.env.input
        # The decisions of the training set, which is read first, apply to both sets.
        parse = partial(
            self._parsed,
            conventions=Conventions(self.hp.annotated_frame, self.hp.box_corners),
            decisions=Decisions(),
        )
        yield parse("training", inputs.training_index_file, read_training_index)
        yield parse("validation", inputs.val_index_file, read_val_index)

    def _parsed(
        self,
        name: str,
        index: Path | None,
        read_index: Callable[[Path | None], list[Asset]],
        *,
        conventions: Any,
        decisions: "Decisions",
    ) -> ImageSet:
        from app.tasks.records import parse_records

        parsed: ParsedSet | None = None
        assets: list[Asset] = []
        remedy = "correct the index if it does not mean that"
        with warnings_as_findings(str(index or name), remedy=remedy) as findings:
            assets = read_index(index)
            require_files(index, assets)
            if assets:
                parsed = parse_records(
                    assets,
                    self.hp.export_format,
                    self.hp.class_names,
                    conventions=conventions,
                    decisions=decisions,
                )
        return ImageSet(name, index, parsed, assets, findings)
